import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DLP_QUEUE_MAX, DLP_WINDOW_BYTES_MAX } from "../contract.ts";
import { DlpThread } from "./dlp.ts";

const GITHUB = `ghp_${"a1B2c3D4e5F6".repeat(3)}`;
const text = (value: string) => Buffer.from(value);

let dlp: DlpThread;
beforeEach(() => {
  dlp = new DlpThread();
});
afterEach(() => dlp.close());

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    (value) => String(value),
    (error: { code: string }) => error.code,
  );

describe("the thread that looks for secrets", () => {
  it("says which rule found something, to each who asked", async () => {
    const key = "-----BEGIN PRIVATE KEY-----";
    const asked = [GITHUB, "nothing", key, GITHUB].map((value) => dlp.scan(text(value)));
    expect(await Promise.all(asked)).toEqual(["github-token", undefined, "private-key", "github-token"]);
  });

  it("is given a copy: what is asked about stays as it is", async () => {
    const window = text(`${GITHUB} and more`);
    const before = Buffer.from(window);
    const asked = dlp.scan(window);
    window.fill(0);
    expect(await asked).toBe("github-token");
    const again = Buffer.from(before);
    await dlp.scan(again);
    expect(again).toEqual(before);
  });

  it(`takes a window of ${DLP_WINDOW_BYTES_MAX} bytes, and none longer`, async () => {
    const whole = Buffer.alloc(DLP_WINDOW_BYTES_MAX, " ");
    whole.write(GITHUB, whole.length - GITHUB.length);
    expect(await dlp.scan(whole)).toBe("github-token");
    expect(() => dlp.scan(Buffer.alloc(DLP_WINDOW_BYTES_MAX + 1))).toThrow(/DLP_WINDOW_BYTES_MAX/);
  });

  it(`lets ${DLP_QUEUE_MAX} wait, and refuses one more until one is done`, async () => {
    const asked = Array.from({ length: DLP_QUEUE_MAX }, () => dlp.scan(text(GITHUB)));
    expect(await codeOf(dlp.scan(text(GITHUB)))).toBe("EGRESS_CAPACITY");
    expect(new Set(await Promise.all(asked))).toEqual(new Set(["github-token"]));
    expect(await dlp.scan(text(GITHUB))).toBe("github-token");
  });

  it("tells those who wait when it ends, and takes nothing afterwards", async () => {
    const asked = dlp.scan(text(GITHUB));
    const told = codeOf(asked);
    await dlp.close();
    expect(await told).toBe("EGRESS_CAPACITY");
    expect(await codeOf(dlp.scan(text(GITHUB)))).toBe("EGRESS_CAPACITY");
  });
});
