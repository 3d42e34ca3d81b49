import fc from "fast-check";
import { expect, test } from "vitest";
import { chunksOf, LINE_CHARS_MAX, parseLines } from "./ndjson.ts";

async function* cut(bytes: Uint8Array, at: number[]): AsyncGenerator<Uint8Array> {
  let from = 0;
  for (const to of [...at, bytes.length].sort((a, b) => a - b)) {
    yield bytes.subarray(from, Math.max(from, to));
    from = Math.max(from, to);
  }
}

async function collect(values: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const value of values) all.push(value);
  return all;
}

test("values arrive whole wherever the chunks end, inside a character too", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(fc.string({ unit: "binary" }), fc.integer(), fc.record({ text: fc.string({ unit: "grapheme" }) })),
      ),
      fc.array(fc.nat(400), { maxLength: 20 }),
      fc.boolean(),
      async (values, at, newline) => {
        const text = values.map((value) => JSON.stringify(value)).join("\n") + (newline ? "\n" : "");
        const bytes = new TextEncoder().encode(text);
        const within = at.map((point) => Math.min(point, bytes.length));
        expect(await collect(parseLines(cut(bytes, within)))).toEqual(JSON.parse(JSON.stringify(values)));
      },
    ),
    { numRuns: 50 },
  );
});

test("empty lines are skipped and a last line needs no newline", async () => {
  const bytes = new TextEncoder().encode('\n{"a":1}\n\r\n\n{"a":2}');
  expect(await collect(parseLines(cut(bytes, [3, 4])))).toEqual([{ a: 1 }, { a: 2 }]);
});

test("a line that is no JSON is a SyntaxError after the lines before it", async () => {
  const values = parseLines(cut(new TextEncoder().encode("1\n{oops\n"), []));
  expect(await values.next()).toEqual({ done: false, value: 1 });
  await expect(values.next()).rejects.toThrow(SyntaxError);
});

test("a line is read at its limit and refused one character past it", async () => {
  const full = new TextEncoder().encode(`"${"x".repeat(LINE_CHARS_MAX - 2)}`);
  const quote = new TextEncoder().encode('"');
  const over = new TextEncoder().encode('x"');
  const both = (last: Uint8Array) =>
    (async function* () {
      yield full;
      yield last;
    })();
  expect(((await collect(parseLines(both(quote))))[0] as string).length).toBe(LINE_CHARS_MAX - 2);
  await expect(collect(parseLines(both(over)))).rejects.toThrow(RangeError);
});

test("leaving the loop cancels the stream", async () => {
  let cancelled = false;
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array([49, 10])),
    cancel: () => {
      cancelled = true;
    },
  });
  for await (const chunk of chunksOf(stream)) if (chunk.length > 0) break;
  expect(cancelled).toBe(true);
});
