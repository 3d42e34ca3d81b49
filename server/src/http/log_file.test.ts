import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { need } from "../../../tests/fixtures/need.ts";
import { type LogFile, openLogFile } from "./log_file.ts";
import { createLogger } from "./logging.ts";

let directory: string;
let path: string;
const open: LogFile[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "gl-"));
  path = join(directory, "gantry.log");
});
afterEach(() => {
  for (const file of open.splice(0)) file.close();
  rmSync(directory, { recursive: true, force: true });
});

const BYTES = 100;
function opened(o: { bytes_max?: number; kept?: number } = {}): LogFile {
  const file = openLogFile({ path, bytes_max: BYTES, kept: 2, clock: { now: () => 7 }, ...o });
  open.push(file);
  return file;
}
/** A line of so many bytes that begins with a mark. */
const line = (mark: string, bytes: number) => `${mark.padEnd(bytes - 1, ".")}\n`;
const text = (name = "gantry.log") => readFileSync(join(directory, name), "utf8");
const names = () => readdirSync(directory).sort();

describe("a log file", () => {
  it("is filled to its limit, and the line one past it begins the next file", () => {
    const file = opened();
    file.write(line("a", 60));
    file.write(line("b", 40));
    expect(names()).toEqual(["gantry.log"]);
    expect(text()).toHaveLength(BYTES);
    file.write(line("c", 2));
    expect(text("gantry.log.1")).toBe(line("a", 60) + line("b", 40));
    expect(text()).toBe("c\n");
  });

  it("keeps so many older files and not one more, the newest with the lowest number", () => {
    const file = opened();
    for (const mark of ["a", "b", "c", "d"]) file.write(line(mark, BYTES));
    expect(names()).toEqual(["gantry.log", "gantry.log.1", "gantry.log.2"]);
    expect([text(), text("gantry.log.1"), text("gantry.log.2")].map((each) => each[0])).toEqual(["d", "c", "b"]);
  });

  it("takes a line that is larger than a whole file, whole and alone", () => {
    const file = opened();
    file.write(line("a", 10));
    file.write(line("b", BYTES + 1));
    file.write(line("c", 10));
    expect([text("gantry.log.2"), text("gantry.log.1"), text()]).toEqual([
      line("a", 10),
      line("b", BYTES + 1),
      line("c", 10),
    ]);
  });

  it("counts what stands in it from an earlier life, and ends a line that was torn", () => {
    appendFileSync(path, `${line("a", 90)}torn`);
    const file = opened();
    expect(text()).toBe(`${line("a", 90)}torn\n`);
    file.write(line("b", 6));
    expect(text("gantry.log.1")).toContain("torn\n");
    expect(text()).toBe(line("b", 6));
  });

  it("is for its owner's eyes, the next ones as well", () => {
    const file = opened();
    file.write(line("a", BYTES));
    file.write(line("b", BYTES));
    for (const name of names()) expect(statSync(join(directory, name)).mode & 0o777, name).toBe(0o600);
  });

  it("goes on in a new file when another program moved it and says so", () => {
    const file = opened();
    file.write(line("a", 10));
    renameSync(path, `${path}-moved`);
    file.write(line("b", 10));
    file.reopen();
    file.write(line("c", 10));
    expect(text("gantry.log-moved")).toBe(line("a", 10) + line("b", 10));
    expect(text()).toBe(line("c", 10));
  });

  it("grows on where it cannot be rotated, and loses nothing", () => {
    const file = opened();
    file.write(line("a", BYTES));
    // Where the oldest would go stands what can neither be removed as a file nor replaced by one.
    mkdirSync(join(directory, "gantry.log.2", "full"), { recursive: true });
    file.write(line("b", BYTES));
    expect(text()).toBe(line("a", BYTES) + line("b", BYTES));
  });

  it("has every line of two writers that share it, each whole, through all rotations", () => {
    // One process writes through two loggers: what they say is interleaved, and no line is lost or cut.
    const file = opened({ bytes_max: 2_000, kept: 1_000 });
    const [one, two] = [createLogger({ sink: file }), createLogger({ sink: file })];
    for (let i = 0; i < 500; i += 1) {
      one.info({ i, who: "one", pad: "x".repeat(i % 97) }, "said");
      two.warn({ i, who: "two" }, "said");
    }
    const lines = names().flatMap((name) => text(name).trimEnd().split("\n"));
    const said = lines.map((each) => JSON.parse(each) as { i: number; who: string });
    for (const who of ["one", "two"]) {
      const numbers = said.filter((each) => each.who === who).map(({ i }) => i);
      expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, i) => i));
    }
    expect(names().length).toBeGreaterThan(10);
    for (const name of names()) expect(statSync(join(directory, name)).size).toBeLessThanOrEqual(2_000);
  });
});

describe("a log on a full disk", () => {
  it("drops whole lines, counts them, and says so when there is room again", async (context) => {
    need(context, "root", process.getuid?.() === 0 ? undefined : "only root can mount a disk that is small");
    const child = spawn(
      "unshare",
      [
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs -o size=64k disk "$1" && shift && exec "$@"',
        "sh",
        directory,
        process.execPath,
        "--import",
        "tsx",
        fileURLToPath(new URL("../../../tests/fixtures/full_disk_log.ts", import.meta.url)),
        path,
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    let out = "";
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
    });
    await once(child, "close");
    const { before, after } = JSON.parse(out) as { before: string; after: string };
    const whole = before.trimEnd().split("\n");
    expect(before.endsWith("\n")).toBe(true);
    for (const each of whole) expect(each).toMatch(/^\d{4} x{994}$/);
    const [report = "", ...rest] = after.trimEnd().split("\n");
    expect(JSON.parse(report)).toMatchObject({ level: "warn", dropped: 100 - whole.length, time: 7 });
    expect(rest).toEqual(["again"]);
  });
});
