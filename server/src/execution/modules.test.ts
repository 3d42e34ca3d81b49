import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { GantryError } from "../kernel/errors.ts";
import { RUN_LIMITS } from "../kernel/limits.ts";
import { MODULE_NAME_MAX, type SourceCode } from "./contract.ts";
import { candidates, checkShape, codeBytes, codeFrame, codeHash, isScript, plainModule } from "./modules.ts";

const LIMITS = { code_bytes_max: RUN_LIMITS.code_bytes_max.max, modules_max: RUN_LIMITS.modules_max.max };

function program(modules: Record<string, string | Uint8Array>): SourceCode {
  return { entry: "main.ts", modules: { "main.ts": "", ...modules } };
}

/** The error that a call throws. */
function refusal(call: () => unknown): GantryError {
  try {
    call();
  } catch (error) {
    return error as GantryError;
  }
  throw new Error("it was not refused");
}

function refusalOfName(name: string): GantryError {
  return refusal(() => checkShape(program(Object.fromEntries([[name, ""]])), LIMITS));
}

describe("module names", () => {
  it.each(["../main.ts", "lib/../main.ts", "..", "lib/..", "./main.ts", "lib/./x.ts", "."])(
    "%s walks, so it is refused",
    (name) => {
      const error = refusalOfName(name);
      expect(error.code).toBe("CODE_NAME");
      expect(error.parts.problems).toEqual([{ at: name, text: "leaves its directory or walks in it" }]);
    },
  );

  it.each(["/etc/passwd", "/main.ts", "//x.ts"])("%s is absolute, so it is refused", (name) => {
    expect(refusalOfName(name).parts.problems?.[0]?.text).toContain("is absolute");
  });

  it.each([
    "",
    "a b.ts",
    "a\\b.ts",
    "lib//x.ts",
    "lib/",
    "a\0.ts",
    "a\n.ts",
    "gantry:config",
    "node:fs",
    "http://x/y.ts",
    "ä.ts",
    "%2e%2e/x.ts",
    "a?.ts",
    "a#b.ts",
    "\ud800.ts",
  ])("%j has characters that no module's name has", (name) => {
    expect(refusalOfName(name).code).toBe("CODE_NAME");
  });

  it("__proto__ is reserved, also within a path and when it is an own member", () => {
    const modules = JSON.parse('{"main.ts":"","__proto__":"x"}') as SourceCode["modules"];
    expect(refusal(() => checkShape({ entry: "main.ts", modules }, LIMITS)).parts.problems).toEqual([
      { at: "__proto__", text: "is reserved" },
    ]);
    expect(refusalOfName("lib/__proto__/x.ts").parts.problems?.[0]?.text).toBe("is reserved");
  });

  it.each(["main.ts", "lib/parse.ts", "a/b/c/d.mjs", "@scope/x+y~z$1_2-3.js", ".hidden.ts", "..x.ts", "a..b.ts"])(
    "%s is a name",
    (name) => checkShape(program({ [name]: "" }), LIMITS),
  );

  it("a name may have MODULE_NAME_MAX characters and not one more", () => {
    const name = `${"a".repeat(MODULE_NAME_MAX - 3)}.ts`;
    checkShape(program({ [name]: "" }), LIMITS);
    const [problem] = refusalOfName(`a${name}`).parts.problems ?? [];
    expect(problem).toEqual({ at: `a${name}`.slice(0, MODULE_NAME_MAX), text: "is longer than 128 characters" });
  });

  it("every bad name is told at once", () => {
    const error = refusal(() => checkShape(program({ "/a.ts": "", "../b.ts": "", "c.ts": "" }), LIMITS));
    expect(error.parts.problems?.map(({ at }) => at)).toEqual(["/a.ts", "../b.ts"]);
  });

  it("whatever passes is a relative path that stays where it is", () => {
    const part = fc.constantFrom("a", ".", "..", "", "__proto__", "a.ts", "%2e", "\\", ":");
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
        const name = parts.join("/");
        const passes = ((): boolean => {
          try {
            checkShape(program(Object.fromEntries([[name, ""]])), LIMITS);
            return true;
          } catch {
            return false;
          }
        })();
        expect(passes).toBe(parts.every((each) => each === "a" || each === "a.ts"));
      }),
    );
  });
});

describe("the shape of code", () => {
  const many = (count: number): SourceCode =>
    program(Object.fromEntries(Array.from({ length: count - 1 }, (_, i) => [`m${i}.ts`, ""])));

  it("has at most modules_max modules", () => {
    checkShape(many(512), LIMITS);
    for (const count of [513, 10_001]) {
      const error = refusal(() => checkShape(many(count), LIMITS));
      expect(error.code).toBe("CODE_TOO_LARGE");
      expect(error.parts.detail).toContain(`${count} modules; at most 512`);
    }
  });

  it("counts bytes and not characters, of texts and binaries together", () => {
    expect(codeBytes(program({ "a.txt": "ä€😀", "b.bin": new Uint8Array(3) }))).toBe(2 + 3 + 4 + 3);
  });

  it("has at most code_bytes_max bytes", () => {
    const limits = { ...LIMITS, code_bytes_max: 10 };
    checkShape(program({ "a.txt": "12345", "b.bin": new Uint8Array(5) }), limits);
    const error = refusal(() => checkShape(program({ "a.txt": "12345", "b.bin": new Uint8Array(6) }), limits));
    expect(error.code).toBe("CODE_TOO_LARGE");
    expect(error.parts.detail).toContain("11 bytes; at most 10");
  });

  it.each([
    ["a module that is missing", { entry: "other.ts", modules: { "main.ts": "" } }],
    ["a member of every object", { entry: "constructor", modules: { "main.ts": "" } }],
    ["a module that is no script", { entry: "a.json", modules: { "a.json": "{}", "main.ts": "" } }],
  ])("refuses %s as entry and names the scripts", (_, code) => {
    const error = refusal(() => checkShape(code as SourceCode, LIMITS));
    expect(error.code).toBe("CODE_NO_ENTRY");
    expect(error.parts.detail).toContain("main.ts");
  });

  it("says so when there is no script at all", () => {
    const error = refusal(() => checkShape({ entry: "main.ts", modules: {} }, LIMITS));
    expect(error.parts.detail).toContain("there is none");
  });
});

describe("the hash of code", () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

  it("does not depend on the order of the modules", () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,4}\.ts$/), { minLength: 2, maxLength: 6 });
    fc.assert(
      fc.property(names, (all) => {
        const code = (order: string[]): SourceCode => ({
          entry: "a",
          modules: Object.fromEntries(order.map((name) => [name, name])),
        });
        expect(codeHash(code(all.toReversed()))).toBe(codeHash(code(all)));
      }),
    );
  });

  it("changes with every part: a name, a text, a byte, the kind of a module, the entry", () => {
    const base = { "main.ts": "1", "a.bin": "x" };
    const all = [
      { entry: "main.ts", modules: base },
      { entry: "a.bin", modules: base },
      { entry: "main.ts", modules: { ...base, "a.bin": "y" } },
      { entry: "main.ts", modules: { ...base, "a.bin": bytes("x") } },
      { entry: "main.ts", modules: { ...base, "a.bin": bytes("y") } },
      { entry: "main.ts", modules: { "main.ts": "1", "b.bin": "x" } },
      { entry: "main.ts", modules: { "main.ts": "1" } },
      { entry: "main.ts", modules: { "main.ts": "1x", "a.bin": "" } },
    ].map(codeHash);
    expect(new Set(all).size).toBe(all.length);
    expect(all[0]).toMatch(/^[0-9a-f]{64}$/);
  });

  it("is the same for the same code in other buffers", () => {
    const code = (): SourceCode => program({ "a.bin": Uint8Array.of(1, 2, 3) });
    expect(codeHash(code())).toBe(codeHash(code()));
  });
});

describe("modules that need no compiler", () => {
  it("JSON is checked and passed on as it came", () => {
    expect(plainModule("a.json", '{"a": 1}')).toEqual({ name: "a.json", type: "json", content: '{"a": 1}' });
    const error = refusal(() => plainModule("a.json", "{a: 1}"));
    expect(error.code).toBe("CODE_SYNTAX");
    expect(error.parts.problems?.[0]).toMatchObject({ at: "a.json" });
    expect(error.parts.detail).toContain("a.json: is not JSON");
  });

  it("any other text is text, and any other binary data", () => {
    expect(plainModule("a.md", "# x")).toEqual({ name: "a.md", type: "text", content: "# x" });
    expect(plainModule("noextension", "x").type).toBe("text");
    expect(plainModule("a.bin", Uint8Array.of(0, 255))).toEqual({ name: "a.bin", type: "data", content: "AP8=" });
    expect(plainModule("a.json", Uint8Array.of(1)).type).toBe("data");
  });

  it("wasm is bytes and begins as WebAssembly does", () => {
    expect(plainModule("m.wasm", Uint8Array.of(0, 0x61, 0x73, 0x6d, 1)).type).toBe("wasm");
    for (const wrong of [Uint8Array.of(), Uint8Array.of(0, 0x61, 0x73), Uint8Array.of(1, 0x61, 0x73, 0x6d)]) {
      expect(refusal(() => plainModule("m.wasm", wrong)).code).toBe("CODE_SYNTAX");
    }
    expect(refusal(() => plainModule("m.wasm", "AGFzbQ==")).parts.detail).toContain("base64");
  });

  it.each(["a\0b", "\ud800"])("text that no store takes is refused: %j", (text) => {
    expect(refusal(() => plainModule("a.txt", text)).code).toBe("CODE_SYNTAX");
  });

  it("scripts are known by their extension", () => {
    expect(["a.ts", "a.tsx", "a.mts", "a.js", "a.jsx", "a.mjs"].every(isScript)).toBe(true);
    expect(["a.cjs", "a.json", "a.wasm", "ts", "a.ts.txt", ""].some(isScript)).toBe(false);
  });
});

describe("what an import without its exact name may mean", () => {
  it("is the exact name first, then scripts, then an index", () => {
    expect(candidates("lib").slice(0, 3)).toEqual(["lib", "lib.ts", "lib.tsx"]);
    expect(candidates("lib").at(-1)).toBe("lib/index.mjs");
  });

  it("is the TypeScript source of a .js name", () => {
    expect(candidates("lib.js").slice(0, 2)).toEqual(["lib.js", "lib.ts"]);
    expect(candidates("lib.ts")).not.toContain("lib.js");
  });
});

describe("a code frame", () => {
  const caret = (frame: string): string => {
    const [source = "", mark = ""] = frame.split("\n");
    return source.charAt(mark.indexOf("^"));
  };

  it("has the caret under the column", () => {
    expect(codeFrame("first\nsecond x", 2, 8)).toBe("2 | second x\n  |        ^");
    expect(caret(codeFrame("first\nsecond x", 2, 8))).toBe("x");
  });

  it("counts a tab as one column", () => {
    expect(caret(codeFrame("\t\tx", 1, 3))).toBe("x");
  });

  it("shows the part of a long line that has the fault", () => {
    for (const column of [1, 59, 60, 61, 5_000]) {
      const line = `${"-".repeat(column - 1)}x${"-".repeat(10_000)}`;
      const frame = codeFrame(line, 1, column);
      expect(caret(frame)).toBe("x");
      expect(frame.length).toBeLessThan(300);
    }
  });

  it("of a line that does not exist is empty and not a fault", () => {
    expect(codeFrame("one", 7, 3)).toBe("7 | \n  |   ^");
  });
});
