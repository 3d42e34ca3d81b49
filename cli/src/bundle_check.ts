import { createHash } from "node:crypto";
import { Failure } from "./failure.ts";

const NEWLINE = 0x0a;
/** A header has names and a signed note: far less. */
const HEADER_BYTES_MAX = 1024 * 1024;

/** What is known of a bundle that passes by. */
export interface BundlePassed {
  /** Entries so far. */
  entries: number;
  /** Entries that the header announces. */
  count: number;
  origin: string;
  /** Of the log. */
  size: number;
}

/**
 * Hands a bundle through, and sees that it arrived whole: its trailer says how many entries it has and what all bytes
 * before it hash to. What the entries say is not judged here; `gantry evidence verify` does that.
 * @param onProgress  after each chunk.
 * @throws Failure exit 6 when the bundle was cut off or changed on its way.
 */
export async function* wholeBundle(
  chunks: AsyncIterable<Uint8Array>,
  onProgress: (passed: BundlePassed) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash("sha256");
  let header: Omit<BundlePassed, "entries"> | undefined;
  /** The first line until it is complete; then the last line, which may be the trailer. */
  let tail = Buffer.alloc(0);
  let lines = 0;
  for await (const chunk of chunks) {
    yield chunk;
    for (const byte of chunk) if (byte === NEWLINE) lines += 1;
    tail = Buffer.concat([tail, chunk]);
    if (header === undefined) {
      const end = tail.indexOf(NEWLINE);
      if (end < 0 && tail.byteLength > HEADER_BYTES_MAX) throw broken("its header does not end");
      if (end < 0) continue;
      header = headerOf(tail.subarray(0, end).toString("utf8"));
    }
    const last = tail.lastIndexOf(NEWLINE, tail.byteLength - 2) + 1;
    hash.update(tail.subarray(0, last));
    tail = tail.subarray(last);
    onProgress({ ...header, entries: Math.max(0, Math.min(lines - 1, header.count)) });
  }
  const trailer = trailerOf(tail.toString("utf8"));
  if (header === undefined || trailer === undefined) throw broken("it was cut off");
  const is_whole =
    trailer.count === header.count && lines === header.count + 2 && trailer.sha256 === hash.digest("hex");
  if (!is_whole) throw broken("its trailer does not fit what came before it");
}

function headerOf(line: string): Omit<BundlePassed, "entries"> {
  const { count, origin, checkpoint } = parsed(line);
  const size = typeof checkpoint === "string" ? Number(checkpoint.split("\n")[1]) : Number.NaN;
  if (typeof count !== "number" || typeof origin !== "string" || !Number.isSafeInteger(size)) {
    throw broken("it begins with no header");
  }
  return { count, origin, size };
}

function trailerOf(line: string): { count: number; sha256: string } | undefined {
  const { count, sha256 } = line.endsWith("\n") ? parsed(line) : {};
  return typeof count === "number" && typeof sha256 === "string" ? { count, sha256 } : undefined;
}

function parsed(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    // Whoever asked finds none of the members that it needs.
    return {};
  }
}

function broken(how: string): Failure {
  return new Failure(6, `The bundle did not arrive whole: ${how}. Nothing was kept; export it again.`);
}
