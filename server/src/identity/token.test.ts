import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TOKEN_PATTERN } from "../kernel/log.ts";
import { type Random, systemRandom } from "../kernel/random.ts";
import type { TokenKind } from "./contract.ts";
import { checksum, isToken, makeToken, tokenHash } from "./token.ts";

const random = systemRandom();
const kind = fc.constantFrom<TokenKind>("hum", "agt", "svc");
const token = kind.map((each) => makeToken(each, random));

/** CRC-32 bit by bit (ISO 3309, reflected polynomial 0xEDB88320), apart from the library that makes the checksum. */
function crc(text: string): number {
  let state = 0xffff_ffff;
  for (const byte of Buffer.from(text)) {
    state ^= byte;
    for (let bit = 0; bit < 8; bit++) state = (state >>> 1) ^ (state & 1 ? 0xedb8_8320 : 0);
  }
  return (state ^ 0xffff_ffff) >>> 0;
}

describe("a token", () => {
  it("has its kind, 36 letters and digits, and is found by the scan pattern", () => {
    fc.assert(
      fc.property(kind, (each) => {
        const text = makeToken(each, random);
        expect(text).toMatch(new RegExp(`^gtr_${each}_[0-9A-Za-z]{36}$`));
        expect(`see ${text}, there`.match(TOKEN_PATTERN)).toEqual([text]);
        expect(isToken(text)).toBe(true);
      }),
    );
  });

  it("ends with the CRC-32 of all before it, base 62, padded on the left", () => {
    const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    fc.assert(
      fc.property(fc.string({ unit: "grapheme-ascii" }), (head) => {
        const check = checksum(head);
        expect(check).toHaveLength(6);
        expect([...check].reduce((sum, char) => sum * 62 + alphabet.indexOf(char), 0)).toBe(crc(head));
      }),
    );
  });

  it("is refused when one character is changed, left out or doubled", () => {
    fc.assert(
      fc.property(token, fc.nat(), fc.constantFrom(..."0Az9"), (text, position, char) => {
        const at = position % text.length;
        const changed = text.slice(0, at) + char + text.slice(at + 1);
        if (changed !== text) expect(isToken(changed)).toBe(false);
        expect(isToken(text.slice(0, at) + text.slice(at + 1))).toBe(false);
        expect(isToken(text.slice(0, at) + text.charAt(at) + text.slice(at))).toBe(false);
      }),
    );
  });

  it("draws each character with the same chance: bytes past the last multiple of 62 are drawn again", () => {
    const bytes = [248, 249, 255, 0, 61, 62, 247];
    const scripted: Random = { bytes: (n) => Uint8Array.from({ length: n }, (_, i) => bytes[i % bytes.length]!) };
    expect(makeToken("hum", scripted).slice(8, 16)).toBe("0z0z0z0z");
  });

  it("is known to the store by 64 hex digits that do not contain it", () => {
    const text = makeToken("agt", random);
    expect(tokenHash(text)).toMatch(/^[0-9a-f]{64}$/);
    expect(tokenHash(text)).toBe(tokenHash(text));
  });
});

describe("what is no bearer token is refused as TOKEN_MALFORMED", () => {
  const good = makeToken("hum", random);
  const link = `gtr_lnk_${"a".repeat(30)}`;
  it.each([
    ["nothing", ""],
    ["another word", "hello"],
    ["white space around it", ` ${good}`],
    ["a line end", `${good}\n`],
    ["another kind", good.replace("gtr_hum_", "gtr_dev_")],
    ["a login link, although its checksum fits", link + checksum(link)],
    ["a very long text", good.repeat(1_000)],
  ])("%s", (_name, text) => {
    expect(() => tokenHash(text)).toThrow("TOKEN_MALFORMED");
  });

  it("and any other text", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(isToken(text)).toBe(false);
      }),
    );
  });
});
