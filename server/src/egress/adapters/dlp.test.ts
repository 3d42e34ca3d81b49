import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DLP_QUEUE_MAX, DLP_TENANT_QUEUE_MAX, DLP_WINDOW_BYTES_MAX } from "../contract.ts";
import { DlpThread } from "./dlp.ts";

const GITHUB = `ghp_${"a1B2c3D4e5F6".repeat(3)}`;
const ACME = "ten_acme";
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
    const asked = [GITHUB, "nothing", key, GITHUB].map((value) => dlp.scan(text(value), ACME));
    expect(await Promise.all(asked)).toEqual(["github-token", undefined, "private-key", "github-token"]);
  });

  it("is given a copy: what is asked about stays as it is", async () => {
    const window = text(`${GITHUB} and more`);
    const before = Buffer.from(window);
    const asked = dlp.scan(window, ACME);
    window.fill(0);
    expect(await asked).toBe("github-token");
    const again = Buffer.from(before);
    await dlp.scan(again, ACME);
    expect(again).toEqual(before);
  });

  it(`takes a window of ${DLP_WINDOW_BYTES_MAX} bytes, and none longer`, async () => {
    const whole = Buffer.alloc(DLP_WINDOW_BYTES_MAX, " ");
    whole.write(GITHUB, whole.length - GITHUB.length);
    expect(await dlp.scan(whole, ACME)).toBe("github-token");
    expect(() => dlp.scan(Buffer.alloc(DLP_WINDOW_BYTES_MAX + 1), ACME)).toThrow(/DLP_WINDOW_BYTES_MAX/);
  });

  it(`lets ${DLP_TENANT_QUEUE_MAX} of a tenant wait, and refuses one more until one is done, while others go on`, async () => {
    const asked = Array.from({ length: DLP_TENANT_QUEUE_MAX }, () => dlp.scan(text(GITHUB), ACME));
    await expect(dlp.scan(text(GITHUB), ACME)).rejects.toMatchObject({
      code: "EGRESS_CAPACITY",
      parts: { detail: expect.stringContaining(`${DLP_TENANT_QUEUE_MAX} bodies of the tenant`), retry_after_ms: 1_000 },
    });
    const other = dlp.scan(text(GITHUB), "ten_other");
    expect(new Set(await Promise.all([...asked, other]))).toEqual(new Set(["github-token"]));
    expect(await dlp.scan(text(GITHUB), ACME)).toBe("github-token");
  });

  it(`lets ${DLP_QUEUE_MAX} wait in all, and makes room for whoever has few from whoever has most`, async () => {
    const many = ["ten_a", "ten_b"].flatMap((tenant) =>
      Array.from({ length: DLP_TENANT_QUEUE_MAX }, (_, n) =>
        codeOf(dlp.scan(text(GITHUB), tenant)).then((got) => [n, got]),
      ),
    );
    expect(many).toHaveLength(DLP_QUEUE_MAX);
    const few = codeOf(dlp.scan(text(GITHUB), "ten_few"));
    const one_more = codeOf(dlp.scan(text(GITHUB), "ten_b"));
    expect([await few, await one_more]).toEqual(["github-token", "EGRESS_CAPACITY"]);
    const refused = (await Promise.all(many)).filter(([, got]) => got !== "github-token");
    expect(refused).toEqual([[DLP_TENANT_QUEUE_MAX - 1, "EGRESS_CAPACITY"]]);
  });

  it(`refuses one past ${DLP_QUEUE_MAX} when nobody has more waiting than whoever asks`, async () => {
    const each = Array.from({ length: DLP_QUEUE_MAX }, (_, n) => codeOf(dlp.scan(text(GITHUB), `ten_${n}`)));
    expect(await codeOf(dlp.scan(text(GITHUB), ACME))).toBe("EGRESS_CAPACITY");
    expect(new Set(await Promise.all(each))).toEqual(new Set(["github-token"]));
  });

  it("takes tenants in turns: the large bodies of one hold up no small one of another", async () => {
    const order: string[] = [];
    const note = (what: string) => (found: string | undefined) => void order.push(`${what} ${found}`);
    const large = Buffer.alloc(DLP_WINDOW_BYTES_MAX, "the password of ");
    const bodies = Array.from({ length: DLP_TENANT_QUEUE_MAX }, () => dlp.scan(large, "ten_large").then(note("large")));
    const small = ["ten_b", "ten_c"].map((tenant) => dlp.scan(text(GITHUB), tenant).then(note(tenant)));
    await Promise.all([...bodies, ...small]);
    // One is under way, and the next had its turn before the others asked.
    expect(order.slice(0, 4)).toEqual([
      "large undefined",
      "large undefined",
      "ten_b github-token",
      "ten_c github-token",
    ]);
    expect(order.filter((each) => each === "large undefined")).toHaveLength(DLP_TENANT_QUEUE_MAX);
  });

  it("tells those who wait when it ends, and takes nothing afterwards", async () => {
    const asked = dlp.scan(text(GITHUB), ACME);
    const told = codeOf(asked);
    await dlp.close();
    expect(await told).toBe("EGRESS_CAPACITY");
    expect(await codeOf(dlp.scan(text(GITHUB), ACME))).toBe("EGRESS_CAPACITY");
  });
});
