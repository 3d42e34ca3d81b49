import { unusable } from "./problem.ts";

/** Bytes of one line: 32 values of 64 KiB opened, a path and a body, in base64, fit twice. */
export const LINE_BYTES_MAX = 8 * 1024 * 1024;
const NEWLINE = 0x0a;

/**
 * Lines of bytes as they come, each with its newline; the last one may lack it. Holds one line and one chunk.
 * @throws Problem `unusable`, check `size`: a line has more than `LINE_BYTES_MAX` bytes, its newline not counted.
 */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
  // Doubles as it fills: chunks may be of one byte each.
  let held = Buffer.alloc(0);
  let held_bytes = 0;
  let line = 1;
  const hold = (part: Buffer): void => {
    if (held_bytes + part.byteLength > held.byteLength) {
      const larger = Buffer.allocUnsafe(Math.max(2 * held.byteLength, held_bytes + part.byteLength));
      held.copy(larger, 0, 0, held_bytes);
      held = larger;
    }
    held_bytes += part.copy(held, held_bytes);
  };
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (let start = 0; start < bytes.byteLength; ) {
      const newline = bytes.indexOf(NEWLINE, start);
      const end = newline < 0 ? bytes.byteLength : newline;
      if (held_bytes + end - start > LINE_BYTES_MAX) {
        throw unusable("size", `Line ${line} has more than ${LINE_BYTES_MAX} bytes.`, { line });
      }
      const part = bytes.subarray(start, newline < 0 ? end : end + 1);
      start += part.byteLength;
      if (newline < 0 || held_bytes > 0) hold(part);
      if (newline < 0) continue;
      // A copy where it was held: the next line overwrites what is held.
      yield held_bytes === 0 ? part : Buffer.from(held.subarray(0, held_bytes));
      held_bytes = 0;
      line += 1;
    }
  }
  if (held_bytes > 0) yield Buffer.from(held.subarray(0, held_bytes));
}
