import { spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, it } from "vitest";
import { SINK_NOTE_BYTES_MAX, SINK_TAIL_BYTES } from "../contract.ts";
import { openFileSink } from "./sink_file.ts";

const { signal } = new AbortController();
let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "gantry-sink-"));
  path = join(directory, "witness.txt");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A note in form; nobody looks at its signature here. */
function noteOf(size: number, origin = "example.org/log", signatures = 1): string {
  const root = Buffer.alloc(32, size % 256).toString("base64");
  const line = `\u2014 ${origin} ${Buffer.alloc(68, 7).toString("base64")}\n`;
  return `${origin}\n${size}\n${root}\n\n${line.repeat(signatures)}`;
}
const copyOf = (size: number, origin?: string) => ({ note: noteOf(size, origin), size });

it("a file that is absent holds nothing, and is made by the first copy", async () => {
  const sink = openFileSink(path);
  expect(sink.name).toBe(`file:${path}`);
  expect(await sink.newest(signal)).toBeUndefined();
  expect(await sink.publish(copyOf(3), signal)).toBe(3);
  expect(readFileSync(path, "utf8")).toBe(`${noteOf(3)}\n`);
  expect(await sink.newest(signal)).toBe(noteOf(3));
});

it("copies are appended, and what was there is never changed", async () => {
  const sink = openFileSink(path);
  for (const size of [1, 2, 700]) await sink.publish(copyOf(size), signal);
  expect(readFileSync(path, "utf8")).toBe([1, 2, 700].map((size) => `${noteOf(size)}\n`).join(""));
  expect(await sink.newest(signal)).toBe(noteOf(700));
});

it("a larger copy of the same log is never followed by a smaller one", async () => {
  const sink = openFileSink(path);
  await sink.publish(copyOf(9), signal);
  expect(await sink.publish(copyOf(8), signal)).toBe(9);
  expect(await sink.publish(copyOf(2, "example.org/other"), signal)).toBe(2);
  expect(readFileSync(path, "utf8")).toBe(`${noteOf(9)}\n${noteOf(2, "example.org/other")}\n`);
});

it("a note that was cut off anywhere is passed over, and the next copy stands by itself", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: Buffer.byteLength(noteOf(2, undefined, 2)) }), async (kept) => {
      rmSync(path, { force: true });
      const sink = openFileSink(path);
      await sink.publish(copyOf(1), signal);
      const whole = statSync(path).size;
      appendFileSync(path, noteOf(2, undefined, 2));
      truncateSync(path, whole + kept);
      expect(await sink.newest(signal)).toBe(noteOf(1));
      await sink.publish(copyOf(3), signal);
      expect(await sink.newest(signal)).toBe(noteOf(3));
      await sink.publish(copyOf(4), signal);
      expect(await sink.newest(signal)).toBe(noteOf(4));
    }),
    { numRuns: 60 },
  );
});

it("only the end of a long file is read, with the last copy whole in it", async () => {
  const large = noteOf(5, "o".repeat(SINK_NOTE_BYTES_MAX - Buffer.byteLength(noteOf(5, "", 0))), 0);
  expect(Buffer.byteLength(large)).toBe(SINK_NOTE_BYTES_MAX);
  const sink = openFileSink(path);
  writeFileSync(path, `${noteOf(1)}\n${"x".repeat(SINK_TAIL_BYTES)}`);
  expect(await sink.newest(signal)).toBeUndefined();
  expect(await sink.publish({ note: large, size: 5 }, signal)).toBe(5);
  await expect(sink.publish({ note: `${large}\n`, size: 5 }, signal)).rejects.toThrow(/small/);
  await sink.publish(copyOf(6), signal);
  writeFileSync(path, `\n${"x".repeat(SINK_TAIL_BYTES - Buffer.byteLength(noteOf(6)) - 3)}\n${noteOf(6)}\n`);
  expect(statSync(path).size).toBe(SINK_TAIL_BYTES);
  expect(await sink.newest(signal)).toBe(noteOf(6));
});

it("garbage before and after a copy does not hide it, and bytes that are no text hold nothing", async () => {
  const sink = openFileSink(path);
  writeFileSync(
    path,
    Buffer.concat([Buffer.alloc(5_000, 0xff), Buffer.from(`\n\n\n${noteOf(4)}\n`), Buffer.alloc(9, 1)]),
  );
  expect(await sink.newest(signal)).toBe(noteOf(4));
  writeFileSync(path, Buffer.alloc(SINK_TAIL_BYTES * 2, "\n"));
  expect(await sink.newest(signal)).toBeUndefined();
});

it("a full disk is an error, and a copy that it cut off does not count", async () => {
  await expect(openFileSink("/dev/full").publish(copyOf(1), signal)).rejects.toThrow(/ENOSPC/);
  // The kernel lets a process write this far into a file and no further, as a disk that fills within a note.
  await openFileSink(path).publish(copyOf(1), signal);
  const limit = Math.ceil(statSync(path).size / 512) * 512;
  appendFileSync(
    path,
    noteOf(2)
      .repeat(2)
      .slice(0, limit - statSync(path).size - 100),
  );
  const program = `
    import { openFileSink } from ${JSON.stringify(new URL("./sink_file.ts", import.meta.url).href)};
    process.on("SIGXFSZ", () => {});
    const { signal } = new AbortController();
    await openFileSink(${JSON.stringify(path)}).publish(${JSON.stringify(copyOf(3))}, signal).catch((e) => console.log(e.code));
  `;
  const script = join(directory, "publish.mts");
  writeFileSync(script, program);
  const limited = `ulimit -f ${limit / 512} && exec "$0" --import tsx "$1"`;
  const { stdout, stderr } = spawnSync("sh", ["-c", limited, process.execPath, script], { encoding: "utf8" });
  expect(stdout.trim(), stderr).toBe("EFBIG");
  expect(statSync(path).size).toBe(limit);
  expect(await openFileSink(path).newest(signal)).toBe(noteOf(1));
  await openFileSink(path).publish(copyOf(3), signal);
  expect(await openFileSink(path).newest(signal)).toBe(noteOf(3));
});

it("a directory that is absent, and a pipe that nobody reads, are errors and no waiting", async () => {
  await expect(openFileSink(join(directory, "no", "file")).publish(copyOf(1), signal)).rejects.toThrow(/ENOENT/);
  spawnSync("sh", ["-c", 'mkfifo "$0"', path]);
  await expect(openFileSink(path).publish(copyOf(1), signal)).rejects.toThrow();
});
