import { expect, test } from "vitest";
import { flipOneByte } from "./flip.ts";

const bundle = Buffer.from(
  [
    '{"v":1}',
    '{"i":0,"leaf":"QUJDREVGR0g=","path":[]}',
    '{"i":1,"leaf":"AAAAAAAAAAA=","path":[]}',
    '{"count":2}',
    "",
  ].join("\n"),
);

test("one byte of the entry's body is another, and nothing else", () => {
  for (const line of [2, 3]) {
    const { copy, at } = flipOneByte(bundle, line);
    const differing = [...copy.keys()].filter((i) => copy[i] !== bundle[i]);
    expect(differing).toEqual([at]);
    expect(copy.byteLength).toBe(bundle.byteLength);
    const before = bundle.toString().split("\n");
    const after = copy.toString().split("\n");
    expect(before.map((text, i) => text === after[i])).toEqual(before.map((_, i) => i !== line - 1));
    expect(after[line - 1]).toMatch(/"leaf":"[A-Za-z0-9+/]+=?"/);
  }
});

test("a line that is no entry is said", () => {
  expect(() => flipOneByte(bundle, 1)).toThrow("Line 1 of the bundle is no entry.");
  expect(() => flipOneByte(bundle, 9)).toThrow("Line 9");
});
