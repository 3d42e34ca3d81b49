import { expect, it } from "vitest";
import { NEXT_CHARS_MAX } from "./contract.ts";
import { ownPath } from "./visitor.ts";

it.each(["/", "/runs", "/approvals/apr_01j9zq3v6we8k9m4t2x7c5d0ab", "/ledger?ref=run_1&cursor=9"])(
  "after signing in one goes on to %s",
  (path) => {
    expect(ownPath(path)).toBe(path);
  },
);

it.each([
  "//evil.example",
  "/\\evil.example",
  "/\t/evil.example",
  "/\n/evil.example",
  "/.//evil.example",
  "/..//evil.example",
  "https://evil.example/",
  "javascript:alert(1)",
  "runs",
  "",
  undefined,
  null,
  "/a b",
  "/@evil.example",
  "/%09/evil",
])("what is no path of this server, as %j, becomes the inbox or a path of ours", (given) => {
  const path = ownPath(given);
  expect(path).toMatch(/^\/(?![/\\])/);
  expect(new URL(path, "http://own.example").host).toBe("own.example");
});

it("a path is taken up to NEXT_CHARS_MAX characters, and not one more", () => {
  const longest = `/${"a".repeat(NEXT_CHARS_MAX - 1)}`;
  expect(ownPath(longest)).toBe(longest);
  expect(ownPath(`${longest}a`)).toBe("/");
});
