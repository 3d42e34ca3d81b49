import { describe, expect, it } from "vitest";
import { codeDiff } from "./code_diff.ts";

const code = (modules: Record<string, string | Uint8Array>, entry = "main.ts") => ({ entry, modules });

describe("what people see of code", () => {
  it("is the whole text when nothing was approved before", () => {
    expect(codeDiff(undefined, code({ "main.ts": "a\nb\n" }), 1_000)).toContain("+a\n+b\n");
  });

  it("is nothing when the code is the same", () => {
    expect(codeDiff(code({ "main.ts": "a\n" }), code({ "main.ts": "a\n" }), 1_000)).toBe("");
  });

  it("is what changed, module by module, gone and new ones too, and another entry", () => {
    const text = codeDiff(
      code({ "main.ts": "a\nb\nc\n", "old.ts": "x\n", "same.ts": "s\n" }),
      code({ "main.ts": "a\nB\nc\n", "new.ts": "y\n", "same.ts": "s\n" }, "new.ts"),
      10_000,
    );
    for (const part of ["entry: main.ts -> new.ts", "-b\n+B\n", "-x\n", "+y\n", "/dev/null"])
      expect(text).toContain(part);
    expect(text).not.toContain("same.ts");
  });

  it("names what is not text by size and hash", () => {
    const text = codeDiff(undefined, code({ "main.wasm": new Uint8Array([1, 2]) }), 1_000);
    expect(text).toMatch(/\+\(2 bytes, SHA-256 [0-9a-f]{64}\)/);
  });

  it("shows what hides in a terminal, or turns its direction, as a picture", () => {
    const text = codeDiff(undefined, code({ "main.ts": "a\u001b[2K\r\u0000\u202e\u2066b\u0085\ud800\n" }), 1_000);
    expect(text).toContain("+a\u241b[2K\u240d\u2400\ufffd\ufffdb\ufffd\ufffd\n");
    expect(text.isWellFormed()).toBe(true);
  });

  it("has at most so many characters, and says when it was cut", () => {
    const large = code({ "main.ts": "ä\n".repeat(50_000) });
    const text = codeDiff(undefined, large, 65_536);
    expect(text.length).toBe(65_536);
    expect(text).toMatch(/cut: the rest does not fit here/);
  });

  it("of texts without anything in common is both, and costs no time that grows with their square", () => {
    const lines = (mark: string) => Array.from({ length: 20_000 }, (_, n) => `${mark}${n}`).join("\n");
    const text = codeDiff(code({ "main.ts": lines("a") }), code({ "main.ts": lines("b") }), 1_000_000);
    expect(text).toContain("\n-a0\n");
    expect(text).toContain("\n+b19999\n");
  });
});
