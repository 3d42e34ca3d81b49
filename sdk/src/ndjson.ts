/** Characters of one line; a longer one is a fault of the sender, and the buffer must not grow without end. */
export const LINE_CHARS_MAX = 32 * 1024 * 1024;

/**
 * The JSON values of a stream of newline-delimited JSON, in order. Chunks may end anywhere, inside a
 * multi-byte character too; empty lines (keep-alives) are skipped; a last line needs no newline.
 * @throws SyntaxError for a line that is no JSON; RangeError for one over `LINE_CHARS_MAX`.
 */
export async function* parseLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown, void, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const text = decoder.decode(chunk, { stream: true });
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LINE_CHARS_MAX) throw new RangeError(`A line is longer than ${LINE_CHARS_MAX} characters.`);
    for (const line of lines) if (line.trim() !== "") yield JSON.parse(line);
  }
  rest += decoder.decode();
  if (rest.trim() !== "") yield JSON.parse(rest);
}

/** A web stream as an async iterable; leaving the loop cancels the stream. Not every browser iterates it itself. */
export async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    // The stream may have failed already; there is nobody left to tell.
    await reader.cancel().catch(() => undefined);
  }
}
