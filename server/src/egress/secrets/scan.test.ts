import { brotliCompressSync, constants, deflateRawSync, deflateSync, gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hasCode } from "../../kernel/errors.ts";
import { egress_errors, SCAN_DECODED_BYTES_MAX, SCAN_RATIO_MAX } from "../contract.ts";
import type { HeaderList } from "../parts.ts";
import { createScan } from "./scan.ts";
import { ENCODED_SECRET_BYTES_MIN } from "./secret_search.ts";

const SECRET = Buffer.from('tök?n/"+=~ %25-9f3a');

type Outcome = { passed: Buffer; code: string | undefined };

/** Feeds a whole answer and says what a guest would have got of it. */
async function searched(secret: Buffer, chunks: readonly Buffer[], headers: HeaderList = []): Promise<Outcome> {
  const scan = createScan(secret);
  const passed: Buffer[] = [];
  try {
    scan.head(200, headers);
    for (const chunk of chunks) passed.push(await scan.push(chunk));
    passed.push(await scan.end());
    return { passed: Buffer.concat(passed), code: undefined };
  } catch (error) {
    return { passed: Buffer.concat(passed), code: (error as { code: string }).code };
  }
}

function cut(text: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.map((place) => place % (text.length + 1)).sort((a, b) => a - b), text.length];
  return places.slice(1).map((end, n) => text.subarray(places[n], end));
}

/** Every byte, or every character of UTF-16, escaped; or only what `is` says. */
const percentOf = (secret: Buffer, is = (_: number) => true, lower = false): string =>
  [...secret]
    .map((byte, n) => {
      const hex = byte.toString(16).padStart(2, "0");
      return is(n) || byte > 0x7e || byte === 0x25 || byte === 0x2b
        ? `%${lower ? hex : hex.toUpperCase()}`
        : String.fromCharCode(byte);
    })
    .join("");
const jsonOf = (secret: string, is: (n: number) => boolean): string =>
  [...secret]
    .map((char, n) =>
      is(n)
        ? [...Array(char.length).keys()]
            .map((unit) => `\\u${char.charCodeAt(unit).toString(16).padStart(4, "0")}`)
            .join("")
        : JSON.stringify(char).slice(1, -1),
    )
    .join("");

/** Ways in which a server repeats what it was sent. */
const FORMS: Record<string, (secret: string, seed: number) => Buffer> = {
  raw: (secret) => Buffer.from(secret),
  base64: (secret, seed) =>
    Buffer.from(Buffer.from(`${"x".repeat(seed % 3)}${secret}${"y".repeat(seed % 5)}`).toString("base64")),
  base64url: (secret, seed) => Buffer.from(Buffer.from(`${"x".repeat(seed % 3)}${secret}`).toString("base64url")),
  hex: (secret) => Buffer.from(Buffer.from(secret).toString("hex")),
  "hex in capitals": (secret) => Buffer.from(Buffer.from(secret).toString("hex").toUpperCase()),
  percent: (secret) => Buffer.from(encodeURIComponent(secret)),
  "percent, all of it": (secret, seed) => Buffer.from(percentOf(Buffer.from(secret), () => true, seed % 2 === 0)),
  "percent, some of it": (secret, seed) => Buffer.from(percentOf(Buffer.from(secret), (n) => (n * 7 + seed) % 3 === 0)),
  form: (secret) => Buffer.from(new URLSearchParams([["k", secret]]).toString().slice(2)),
  json: (secret) => Buffer.from(JSON.stringify(secret).slice(1, -1)),
  "json, all of it": (secret) => Buffer.from(jsonOf(secret, () => true)),
  "json, some of it": (secret, seed) => Buffer.from(jsonOf(secret, (n) => (n + seed) % 2 === 0)),
  "json with slashes": (secret) => Buffer.from(JSON.stringify(secret).slice(1, -1).replaceAll("/", "\\/")),
};

const CODED: Record<string, (text: Buffer) => Buffer> = {
  gzip: (text) => gzipSync(text),
  deflate: (text) => deflateSync(text),
  "deflate, raw": (text) => deflateRawSync(text),
  br: (text) => brotliCompressSync(text),
};
const codingOf = (name: string): HeaderList => [["Content-Encoding", name.split(",")[0] ?? ""]];

/** Texts that a header can hold, not too short, of any characters. */
const secrets = fc
  .string({ minLength: 4, maxLength: 60, unit: "grapheme" })
  .filter((text) => !/[\0-\x1f\x7f]|^\s|\s$/.test(text) && Buffer.byteLength(text) >= ENCODED_SECRET_BYTES_MIN);
const cuts = fc.array(fc.nat(5_000), { maxLength: 12 });
const around = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));

describe("an answer that repeats the secret", () => {
  it.each(Object.entries(FORMS))(
    "as %s is broken off before a whole one has passed, however it is cut",
    async (_, form) => {
      await fc.assert(
        fc.asyncProperty(secrets, fc.nat(100), around, around, cuts, async (secret, seed, before, after, at) => {
          const text = form(secret, seed);
          // Backslashes and percent signs before it would make other text of its beginning.
          const lead = Buffer.from(before.map((byte) => (byte === 0x5c || byte === 0x25 ? 0x20 : byte)));
          const { passed, code } = await searched(Buffer.from(secret), cut(Buffer.concat([lead, text, after]), at));
          expect(code).toBe("EGRESS_SECRET_ECHO");
          // Not its beginning either, unless a part of what encodes its neighbours is the same for many secrets.
          expect(passed.length).toBeLessThanOrEqual(lead.length + 4);
        }),
        { numRuns: 60 },
      );
    },
  );

  it.each(Object.entries(CODED))("inside of %s is broken off likewise", async (name, encode) => {
    await fc.assert(
      fc.asyncProperty(secrets, around, cuts, async (secret, before, at) => {
        const body = encode(Buffer.concat([before, Buffer.from(` ${secret} `), before]));
        const { passed, code } = await searched(Buffer.from(secret), cut(body, at), codingOf(name));
        expect(code).toBe("EGRESS_SECRET_ECHO");
        expect(passed.length).toBeLessThan(body.length);
      }),
      { numRuns: 40 },
    );
  });

  it("in a header is refused before anything has passed", () => {
    for (const form of Object.values(FORMS)) {
      const value = form("s3cr3t/of the+header", 1).toString("latin1");
      const scan = createScan(Buffer.from("s3cr3t/of the+header"));
      expect(() => scan.head(200, [["x-echo", `<${value}>`]])).toThrow(/EGRESS_SECRET_ECHO/);
    }
  });

  it("one byte at a time is found", async () => {
    const text = Buffer.from(`{"token":"${jsonOf(SECRET.toString(), (n) => n % 2 === 0)}"}`);
    const { passed, code } = await searched(
      SECRET,
      [...text].map((byte) => Buffer.of(byte)),
    );
    expect([passed.toString(), code]).toEqual(['{"token":"', "EGRESS_SECRET_ECHO"]);
  });

  it("beside the encoded body that it promises, or after its end, is found", async () => {
    const gzip = gzipSync("nothing");
    for (const body of [[gzip, SECRET], [Buffer.concat([gzip, gzipSync(SECRET)])], [gzip, gzipSync(SECRET)]]) {
      expect((await searched(SECRET, body, codingOf("gzip"))).code).toBe("EGRESS_SECRET_ECHO");
    }
  });

  it("does not say what it repeats", async () => {
    const scan = createScan(SECRET);
    const error = await scan.push(SECRET).catch((reason: unknown) => reason);
    expect(hasCode(error, egress_errors.SECRET_ECHO)).toBe(true);
    expect(JSON.stringify([error, String(error)])).not.toContain("9f3a");
  });
});

it("what goes on of an encoded body says nothing of the secret that it begins to say", async () => {
  const text = Buffer.concat([Buffer.from("a text before it, "), SECRET, Buffer.from(" and behind")]);
  // Without copies of earlier text, so that each byte of the secret has its own place in the coded stream.
  const body = gzipSync(text, { strategy: constants.Z_HUFFMAN_ONLY });
  const { passed, code } = await searched(
    SECRET,
    [...body].map((byte) => Buffer.of(byte)),
    codingOf("gzip"),
  );
  expect(code).toBe("EGRESS_SECRET_ECHO");
  const meant = gunzipSync(passed, { finishFlush: constants.Z_SYNC_FLUSH }).toString();
  // All but what may have been the last character before it.
  expect("a text before it, ".slice(0, meant.length)).toBe(meant);
  expect(meant.length).toBeGreaterThan(10);
});

describe("an answer without the secret", () => {
  it("passes byte for byte, however it is cut", async () => {
    // Texts that are full of beginnings of the secret, and of escapes.
    const pieces = [
      SECRET.subarray(0, 5),
      SECRET.subarray(3),
      Buffer.from("%"),
      Buffer.from("\\u00"),
      Buffer.from("%7"),
      Buffer.from("\\"),
    ];
    const bodies = fc
      .array(fc.oneof(fc.constantFrom(...pieces), around), { maxLength: 30 })
      .map((parts) => Buffer.concat(parts))
      .filter((body) => !body.includes(SECRET));
    await fc.assert(
      fc.asyncProperty(bodies, cuts, async (body, at) => {
        const { passed, code } = await searched(SECRET, cut(body, at));
        if (code === undefined) expect(passed.equals(body)).toBe(true);
        else expect(code).toBe("EGRESS_SECRET_ECHO"); // two pieces made it whole, in some form
      }),
      { numRuns: 300 },
    );
  });

  it.each(Object.entries(CODED))("passes in its coding %s, byte for byte", async (name, encode) => {
    await fc.assert(
      fc.asyncProperty(around, cuts, async (text, at) => {
        const body = encode(Buffer.concat([text, SECRET.subarray(0, 7), text]));
        const { passed, code } = await searched(SECRET, cut(body, at), codingOf(name));
        expect(code).toBeUndefined();
        expect(passed.equals(body)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("goes on at once where it cannot be the beginning of the secret", async () => {
    const scan = createScan(SECRET);
    scan.head(200, [["content-type", "text/event-stream"]]);
    for (const event of ["data: one\n\n", "data: two\n\n", "data: \\u0041%41\n\n"]) {
      expect((await scan.push(Buffer.from(event))).toString()).toBe(event);
    }
    expect((await scan.push(Buffer.from("data: t"))).toString()).toBe("");
    expect((await scan.push(Buffer.from("wo\n\n"))).toString()).toBe("data: two\n\n");
    expect((await scan.end()).length).toBe(0);
  });

  it("may break off within its coding: what there is of it has been searched", async () => {
    const whole = gzipSync(Buffer.from("a text without it ".repeat(100)));
    const part = whole.subarray(0, whole.length - 9);
    expect(await searched(SECRET, [part], codingOf("gzip"))).toEqual({ passed: part, code: undefined });
  });

  it("has no body, or one without bytes, whatever its coding", async () => {
    expect((await searched(SECRET, [], codingOf("gzip"))).code).toBeUndefined();
    expect((await searched(SECRET, [Buffer.alloc(0)], codingOf("br"))).code).toBeUndefined();
    expect(() => createScan(SECRET).head(304, codingOf("zstd"))).not.toThrow();
  });
});

describe("an answer that cannot be searched", () => {
  it.each([["zstd"], ["gzip, br"], ["compress"], ["gzip, gzip"]])("says %s", (coding) => {
    expect(() => createScan(SECRET).head(200, [["content-encoding", coding]])).toThrow(/EGRESS_SCAN/);
  });

  it("is not encoded as it says", async () => {
    for (const coding of ["gzip", "deflate", "br"]) {
      const body = Buffer.from("this is no such thing, and long enough to be seen as none".repeat(10));
      expect((await searched(SECRET, [body], codingOf(coding))).code).toBe("EGRESS_SCAN");
    }
  });

  it(`grows ${SCAN_RATIO_MAX} times at most`, async () => {
    // Deflate without compression first, so that the ratio can be set to the byte: five bytes before each stored block.
    const coded = (length: number) => {
      const zeros = deflateRawSync(Buffer.alloc(length));
      return { zeros, ratio: length / zeros.length };
    };
    let length = 1_000;
    while (coded(length + 1).ratio <= SCAN_RATIO_MAX) length += 1;
    expect((await searched(SECRET, [coded(length).zeros], codingOf("deflate"))).code).toBeUndefined();
    expect((await searched(SECRET, [coded(length + 1).zeros], codingOf("deflate"))).code).toBe("EGRESS_SCAN");
  });

  it(`means more than ${SCAN_DECODED_BYTES_MAX} bytes`, async () => {
    // About 50 to 1: noise of a few bytes between zeros.
    const piece = Buffer.alloc(1_024);
    const text = Buffer.alloc(SCAN_DECODED_BYTES_MAX + 1);
    for (let at = 0, n = 1; at < text.length; at += piece.length, n++) {
      for (let byte = 0; byte < 16; byte++) text[at + byte] = ((n * 2_654_435_761) >>> (byte % 24)) & 0xff;
    }
    const at_limit = gzipSync(text.subarray(0, SCAN_DECODED_BYTES_MAX), { level: 1 });
    expect(at_limit.length * SCAN_RATIO_MAX).toBeGreaterThan(text.length);
    expect((await searched(SECRET, cut(at_limit, [50_000, 200_000]), codingOf("gzip"))).code).toBeUndefined();
    expect((await searched(SECRET, [gzipSync(text, { level: 1 })], codingOf("gzip"))).code).toBe("EGRESS_SCAN");
  });
});

describe("a short secret", () => {
  it("is held back however it is cut", async () => {
    for (let at = 1; at < 7; at++) {
      const { passed, code } = await searched(Buffer.from("abcdef7"), cut(Buffer.from("..abcdef7.."), [2 + at]));
      expect([passed.toString(), code]).toEqual(["..", "EGRESS_SECRET_ECHO"]);
    }
  });

  it(`of fewer than ${ENCODED_SECRET_BYTES_MIN} bytes is looked for as it is alone`, async () => {
    const short = Buffer.from("abcdef7");
    expect((await searched(short, [Buffer.from("..abcdef7..")])).code).toBe("EGRESS_SECRET_ECHO");
    for (const form of ["base64", "hex", "percent, all of it", "json, all of it"]) {
      expect((await searched(short, [FORMS[form]!("abcdef7", 0)])).code).toBeUndefined();
      expect((await searched(Buffer.from("abcdef78"), [FORMS[form]!("abcdef78", 0)])).code).toBe("EGRESS_SECRET_ECHO");
    }
  });
});
