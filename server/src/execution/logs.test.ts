import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HostLine } from "../../../isolate/src/protocol.ts";
import { LOG_BYTES_KILL } from "../kernel/limits.ts";
import type { LogLine } from "./contract.ts";
import { LineSplitter, LOG_LINE_BYTES_MAX, RunLog } from "./logs.ts";

function split(chunks: Buffer[]): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line));
  for (const chunk of chunks) splitter.push(chunk);
  splitter.flush();
  return lines;
}

const lengths = (lines: string[]): number[] => lines.map((line) => line.length);

describe("splitting into lines", () => {
  it("any chunking of the same bytes gives the same lines", () => {
    const piece = fc.constantFrom("\n", "a", "é€😀", "\r\n", "x".repeat(LOG_LINE_BYTES_MAX - 2), "\0", "");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.array(fc.nat()), (pieces, cuts) => {
        const bytes = Buffer.from(pieces.join(""));
        const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
        const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
        expect(split(chunks)).toEqual(split([bytes]));
      }),
    );
  });

  it("joins what chunks cut, also within a character", () => {
    const bytes = Buffer.from("one €\ntwo\n");
    expect(split([...bytes].map((byte) => Buffer.of(byte)))).toEqual(["one €", "two"]);
  });

  it("a line has at most LOG_LINE_BYTES_MAX bytes; the rest of it is dropped, and the next one whole", () => {
    const line = "a".repeat(LOG_LINE_BYTES_MAX);
    expect(lengths(split([Buffer.from(`${line}\nb\n`)]))).toEqual([LOG_LINE_BYTES_MAX, 1]);
    expect(lengths(split([Buffer.from(`${line}x\nb\n`)]))).toEqual([LOG_LINE_BYTES_MAX, 1]);
    expect(lengths(split([Buffer.from(line), Buffer.from("x".repeat(100_000)), Buffer.from("\nb")]))).toEqual([
      LOG_LINE_BYTES_MAX,
      1,
    ]);
  });

  it("an empty line is none, and the last one needs no newline", () => {
    expect(split([Buffer.from("\n\na\n\nb")])).toEqual(["a", "b"]);
  });
});

const NONCES = { log_nonce: "1".repeat(32), host_nonce: "2".repeat(32) };

interface Opened {
  log: RunLog;
  lines: LogLine[];
  host: HostLine[];
  floods: () => number;
}

function open(bytes_max = 1_000, begun = true): Opened {
  const lines: LogLine[] = [];
  const host: HostLine[] = [];
  let floods = 0;
  const log = new RunLog({
    ...NONCES,
    bytes_max,
    now: () => 7,
    on_line: (line) => lines.push(line),
    on_host: (line) => host.push(line),
    on_flood: () => {
      floods += 1;
    },
  });
  if (begun) {
    log.line(`${NONCES.host_nonce} host {"event":"begun"}`);
    host.length = 0;
  }
  return { log, lines, host, floods: () => floods };
}

function guest(level: string, text: string): string {
  return `${NONCES.log_nonce} ${level} ${JSON.stringify(text)}`;
}

describe("before the run has begun", () => {
  it("nothing is the run's: no line, no byte, no flood", () => {
    const { log, lines, host, floods } = open(1_000, false);
    log.count(LOG_BYTES_KILL + 1);
    log.line("a line that an ended run left in the pipe");
    log.line(guest("log", "too early"));
    expect([lines, host, log.bytes, log.dropped, floods(), log.begun]).toEqual([[], [], 0, 0, 0, false]);
    log.line(`${NONCES.host_nonce} host {"event":"begun","at":1}`);
    log.line(guest("log", "now"));
    expect([lines.map(({ text }) => text), host, log.begun]).toEqual([["now"], [{ event: "begun", at: 1 }], true]);
  });
});

describe("whose line it is", () => {
  it.each(["log", "debug", "info", "warn", "error"])("the guest's nonce makes it the guest's, level %s", (level) => {
    const { log, lines, host } = open();
    log.line(guest(level, "hello\nworld"));
    expect(lines).toEqual([{ seq: 1, at: 7, level, text: "hello\nworld" }]);
    expect(host).toEqual([]);
  });

  it("the host's nonce makes it the host's, and no log", () => {
    const { log, lines, host } = open();
    log.line(`${NONCES.host_nonce} host {"event":"started"}`);
    expect(host).toEqual([{ event: "started" }]);
    expect([lines, log.bytes]).toEqual([[], 0]);
  });

  it("a host's line that was cut is passed over: it must not end the control plane", () => {
    const { log, lines, host } = open();
    log.line(`${NONCES.host_nonce} host {"event":"blocked","host":"aaaa`);
    log.line(`${NONCES.host_nonce}`);
    log.line(`${NONCES.host_nonce} `);
    expect(host).toEqual([]);
    expect(lines.map(({ level }) => level)).toEqual(["runner"]);
  });

  it.each([
    "plain words",
    `${"3".repeat(32)} host {"event":"started"}`,
    `${NONCES.log_nonce} host {"event":"started"}`,
    `${NONCES.log_nonce} runner "x"`,
    `${NONCES.log_nonce} log {"not":"a string"}`,
    ` ${NONCES.host_nonce} host {"event":"started"}`,
    `x${NONCES.host_nonce} host {"event":"started"}`,
    NONCES.log_nonce,
  ])("anything else is shown as the runner's: %s", (raw) => {
    const { log, lines, host } = open();
    log.line(raw);
    expect(lines).toEqual([{ seq: 1, at: 7, level: "runner", text: raw }]);
    expect(host).toEqual([]);
  });

  it("a line that was cut at its limit shows what there is", () => {
    const { log, lines } = open();
    log.line(guest("info", "x".repeat(100)).slice(0, 60));
    expect(lines[0]).toMatchObject({ level: "info", text: "x".repeat(60 - 32 - 7) });
  });
});

describe("what is shown", () => {
  it("control characters are spelled out, but for tab and newline", () => {
    const { log, lines } = open();
    log.line(guest("log", "\u001b[2J\tA\r\nB\u0000\u007f\u009b31m"));
    expect(lines[0]?.text).toBe("\\u001b[2J\tA\\u000d\nB\\u0000\\u007f\\u009b31m");
  });

  it("half of a surrogate pair becomes the replacement character", () => {
    const { log, lines } = open();
    log.line(`${NONCES.log_nonce} log "\\ud800"`);
    expect(lines[0]?.text).toBe("\ufffd");
  });

  it("no text whatever brings a control character with it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const { log, lines } = open(1_000_000);
        log.line(guest("log", text));
        log.line(text);
        for (const line of lines) expect(line.text).not.toMatch(/[^\P{Cc}\t\n]/u);
      }),
    );
  });
});

describe("how much is kept", () => {
  it("bytes_max bytes, and one more is dropped and counted", () => {
    const { log, lines } = open(10);
    log.line(guest("log", "€€€"));
    log.line(guest("log", "1"));
    expect([log.bytes, log.dropped]).toEqual([10, 0]);
    log.line(guest("log", "2"));
    expect([log.bytes, log.dropped, lines.length]).toEqual([10, 1, 2]);
  });

  it("what does not fit is dropped whole; a shorter line after it may still fit", () => {
    const { log, lines } = open(4);
    for (const text of ["12345", "1234", ""]) log.line(guest("log", text));
    expect([log.bytes, log.dropped]).toEqual([4, 5]);
    expect(lines.map(({ seq, text }) => [seq, text])).toEqual([
      [1, "1234"],
      [2, ""],
    ]);
  });

  it("nothing, where the limit is nothing", () => {
    const { log } = open(0);
    log.line(guest("log", "1"));
    expect([log.bytes, log.dropped]).toEqual([0, 1]);
  });

  it("the flood is told at one byte past LOG_BYTES_KILL, and once", () => {
    const { log, floods } = open();
    log.count(LOG_BYTES_KILL - 1);
    log.count(1);
    expect(floods()).toBe(0);
    log.count(1);
    expect(floods()).toBe(1);
    log.count(LOG_BYTES_KILL);
    expect(floods()).toBe(1);
  });
});
