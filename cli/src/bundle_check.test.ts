import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type BundlePassed, wholeBundle } from "./bundle_check.ts";

const note = "example/log\n42\nAAAA=\n\n— example/log BBBB\n";
function bundleOf(entries: number): Buffer {
  const header = { v: 1, origin: "example/log", checkpoint: note, count: entries, opened: [] };
  const lines = Array.from({ length: entries }, (_, i) => JSON.stringify({ i, leaf: "x".repeat(i * 7), path: [] }));
  const text = [JSON.stringify(header), ...lines].map((line) => `${line}\n`).join("");
  const sha256 = createHash("sha256").update(text).digest("hex");
  return Buffer.from(`${text}${JSON.stringify({ count: entries, sha256 })}\n`);
}

async function pass(bytes: Buffer, cuts: number[] = []): Promise<{ out: Buffer; passed: BundlePassed | undefined }> {
  let passed: BundlePassed | undefined;
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  async function* chunks() {
    let from = 0;
    for (const end of [...ends, bytes.length]) {
      yield bytes.subarray(from, end);
      from = end;
    }
  }
  const out: Uint8Array[] = [];
  for await (const chunk of wholeBundle(chunks(), (now) => {
    passed = now;
  }))
    out.push(chunk);
  return { out: Buffer.concat(out), passed };
}

test("a whole bundle passes unchanged, however it is cut into chunks, and says how far it is", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: 5 }), fc.array(fc.nat(), { maxLength: 20 }), async (entries, cuts) => {
      const bytes = bundleOf(entries);
      const { out, passed } = await pass(bytes, cuts);
      expect(out.equals(bytes)).toBe(true);
      expect(passed).toEqual({ entries, count: entries, origin: "example/log", size: 42 });
    }),
  );
});

test("a bundle that is cut off anywhere, or has a byte changed, does not pass", async () => {
  const bytes = bundleOf(3);
  for (let length = 0; length < bytes.length; length++) {
    await expect(pass(bytes.subarray(0, length))).rejects.toThrow("did not arrive whole");
  }
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 0, max: 7 }), async (at, bit) => {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ (1 << bit);
      await expect(pass(changed)).rejects.toThrow("did not arrive whole");
    }),
  );
});

test("what is no bundle at all is refused before it has been read to the end", async () => {
  async function* endless() {
    for (;;) yield Buffer.alloc(300_000, "a");
  }
  const drain = async () => {
    for await (const _chunk of wholeBundle(endless(), () => {}));
  };
  await expect(drain()).rejects.toThrow("its header does not end");
});
