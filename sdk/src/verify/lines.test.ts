import fc from "fast-check";
import { expect, it } from "vitest";
import { LINE_BYTES_MAX, linesOf } from "./lines.ts";

async function* chunksOf(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0, n = 0; at < bytes.byteLength; n++) {
    const size = sizes[n % sizes.length]!;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer[]> {
  const lines: Buffer[] = [];
  for await (const line of linesOf(chunks)) lines.push(line);
  return lines;
}

it("lines are the same however the bytes are cut, and no byte is lost", async () => {
  const bytes = fc.array(fc.constantFrom(0x0a, 0x61, 0xff, 0x00), { maxLength: 200 });
  const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(bytes, sizes, async (given, cuts) => {
      const whole = Buffer.from(given);
      const lines = await collect(chunksOf(whole, cuts));
      expect(Buffer.concat(lines)).toEqual(whole);
      expect(
        lines.every((line, n) => line.indexOf(0x0a) === (n < lines.length - 1 ? line.length - 1 : line.indexOf(0x0a))),
      ).toBe(true);
      expect(lines.length).toBe(
        whole
          .toString("latin1")
          .split("\n")
          .filter((line, n, all) => n < all.length - 1 || line !== "").length,
      );
    }),
  );
});

it.each([1, 65_536])("a line has at most LINE_BYTES_MAX bytes, in chunks that begin with %i", async (first) => {
  const long = (length: number) => Buffer.concat([Buffer.from("x\n"), Buffer.alloc(length, 0x61), Buffer.from("\n")]);
  expect(await collect(chunksOf(long(LINE_BYTES_MAX), [first, 1_000_000]))).toHaveLength(2);
  await expect(collect(chunksOf(long(LINE_BYTES_MAX + 1), [first, 1_000_000]))).rejects.toMatchObject({
    verdict: "unusable",
    check: "size",
    place: { line: 2 },
  });
});

it("a line without an end is refused before it is held", async () => {
  let taken = 0;
  async function* endless(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      taken += 1_048_576;
      yield Buffer.alloc(1_048_576, 0x61);
    }
  }
  await expect(collect(endless())).rejects.toMatchObject({ check: "size" });
  expect(taken).toBeLessThanOrEqual(LINE_BYTES_MAX + 1_048_576);
});
