import { expect, it } from "vitest";
import { systemRandom } from "../../kernel/random.ts";
import { isWholeLease, LEASE_CHARS, makeLease } from "./lease_token.ts";

const random = systemRandom();

it("a lease has 160 bits and a checksum, and none is like another", () => {
  const made = Array.from({ length: 500 }, () => makeLease(random));
  expect(new Set(made).size).toBe(500);
  for (const token of made) {
    expect(token).toHaveLength(LEASE_CHARS);
    expect(isWholeLease(token)).toBe(true);
    expect(isWholeLease(token.slice(0, 20) + (token[20] === "a" ? "b" : "a") + token.slice(21))).toBe(false);
  }
});
