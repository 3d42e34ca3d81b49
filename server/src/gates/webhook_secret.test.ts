import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { systemRandom } from "../kernel/random.ts";
import { newSecret, openText, printOf, sealText, signNotice, webhookKeys } from "./webhook_secret.ts";

const keys = webhookKeys(new Uint8Array(32).fill(7));
const random = systemRandom();

describe("sealed text", () => {
  it("opens with its key and its place, and never the same twice", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const sealed = sealText(keys, random, "whk_1/url", text);
        expect(openText(keys, "whk_1/url", sealed)).toBe(text);
        expect(sealText(keys, random, "whk_1/url", text)).not.toBe(sealed);
      }),
    );
  });

  it("opens with nothing else: another key, another place, one bit changed, a piece missing", () => {
    const sealed = sealText(keys, random, "whk_1/url", "text");
    expect(() => openText(webhookKeys(new Uint8Array(32).fill(8)), "whk_1/url", sealed)).toThrow();
    expect(() => openText(keys, "whk_2/url", sealed)).toThrow();
    const bytes = Buffer.from(sealed, "base64");
    for (let at = 0; at < bytes.byteLength; at++) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8((changed[at] ?? 0) ^ 1, at);
      expect(() => openText(keys, "whk_1/url", changed.toString("base64")), String(at)).toThrow();
      expect(() => openText(keys, "whk_1/url", bytes.subarray(0, at).toString("base64")), String(at)).toThrow();
    }
  });
});

it("the same URL has the same print under one key alone", () => {
  expect(printOf(keys, "https://a")).toBe(printOf(keys, "https://a"));
  expect(printOf(keys, "https://a")).not.toBe(printOf(keys, "https://b"));
  expect(printOf(keys, "https://a")).not.toBe(printOf(webhookKeys(new Uint8Array(32)), "https://a"));
});

it("a notice is signed as the example of standard-webhooks is", () => {
  // https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme"
  const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const notice = { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", at_s: 1_614_265_330, body: '{"test": 2432232314}' };
  expect(signNotice(secret, notice)).toBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  expect(newSecret(random)).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
});
