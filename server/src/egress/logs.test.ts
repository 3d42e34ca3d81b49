import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { egress_migrations } from "../../../tests/fixtures/leaving.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { EGRESS_LOG_BYTES_MAX, EGRESS_LOG_MS_MAX, EGRESS_LOG_PART_BYTES_MAX, type Egress } from "./contract.ts";
import { countEffects, insertIntent, updateEnded } from "./effects/store.ts";
import { keepLogs, partsOf } from "./logs.ts";

let ground: Ground;
let clock: VirtualClock;
let logs: Egress["logs"];

beforeAll(async () => {
  clock = new VirtualClock(Date.UTC(2026, 10, 24));
  ground = await openGround({ migrations: egress_migrations, clock });
  logs = keepLogs(ground);
});
afterAll(() => ground.remove());

const of = (subject: string, epoch = 1) => ({ tenant: ground.owner.tenant, subject, epoch });
const line = (n: number, bytes = 100) => `${JSON.stringify({ n, pad: "x".repeat(bytes) })}\n`;

async function keep(subject: string, log: string, epoch = 1): Promise<void> {
  const writeRest = await logs.keep(of(subject, epoch), log);
  await ground.storage.write((tx) => writeRest(tx));
}
async function readAll(subject: string): Promise<{ lines: string[]; pages: number }> {
  const lines: string[] = [];
  let pages = 0;
  for (let cursor: string | undefined, more = true; more; pages += 1) {
    const page = await logs.read(of(subject), cursor);
    lines.push(...page.lines);
    cursor = page.next;
    more = cursor !== undefined;
  }
  return { lines, pages };
}

describe("the log of what a run called", () => {
  it(`is cut where lines end, into parts of at most ${EGRESS_LOG_PART_BYTES_MAX} bytes`, () => {
    const exact = `${"a".repeat(EGRESS_LOG_PART_BYTES_MAX / 2 - 1)}\n`;
    expect(partsOf(exact + exact)).toEqual([exact + exact]);
    expect(partsOf(`${exact + exact}b\n`)).toEqual([exact + exact, "b\n"]);
    expect(partsOf("")).toEqual([]);
    const long = `${"é".repeat(EGRESS_LOG_PART_BYTES_MAX)}\n`;
    expect(partsOf(`a\n${long}b\n`)).toEqual(["a\n", long, "b\n"]);
  });

  it("is read as it was written, page by page, one attempt after the other", async () => {
    const first = Array.from({ length: 5_000 }, (_none, n) => line(n));
    await keep("run_a", first.join(""), 1);
    await keep("run_a", line(-1), 2);
    const { lines, pages } = await readAll("run_a");
    expect(lines.map((each) => `${each}\n`)).toEqual([...first, line(-1)]);
    expect(pages).toBeGreaterThan(1);
    expect((await logs.read({ ...of("run_a"), tenant: "ten_x" as Ground["owner"]["tenant"] })).lines).toEqual([]);
  });

  it(`may have ${EGRESS_LOG_BYTES_MAX} bytes, which is more than one unit holds`, async () => {
    const each = line(0, 4_000);
    const log = each.repeat(Math.floor(EGRESS_LOG_BYTES_MAX / each.length));
    await keep("run_large", log);
    expect((await readAll("run_large")).lines.join("\n")).toBe(log.trimEnd());
  }, 30_000);

  it("of a run that called nothing is nothing", async () => {
    await keep("run_none", "");
    expect(await readAll("run_none")).toEqual({ lines: [], pages: 1 });
    expect(await ground.storage.get("SELECT key FROM timers WHERE key = 'run_none/1'", [])).toBeUndefined();
  });

  it(`is deleted after ${EGRESS_LOG_MS_MAX / 86_400_000} days, and not before`, async () => {
    await keep("run_old", line(1));
    await ground.storage.write((tx) => {
      for (const [scope, n] of [
        ["run_old", 1],
        ["run_old/step", 2],
        ["run_older", 3],
      ] as const) {
        const place = { root: scope.split("/")[0]!, subject: scope, node: "node_a", boot: "boot_1" };
        const call = { host: "api.example", method: "POST", intended_at: clock.now(), began_at: clock.now() };
        insertIntent(tx, { scope, key: `key_${n}`, tenant_id: ground.owner.tenant, epoch: 1, ...place, ...call });
        const ended = { state: "done" as const, status: 200, response_sealed: null, ended_at: clock.now() };
        updateEnded(tx, { scope, key: `key_${n}`, root: place.root, epoch: 1, ...ended });
      }
    });
    expect(await countEffects(ground.storage, "run_old")).toBe(2);
    ground.storage.timers.start(() => {});
    clock.advance(EGRESS_LOG_MS_MAX - 1);
    await ground.storage.get("SELECT 1 AS one", []);
    expect((await readAll("run_old")).lines).toHaveLength(1);
    await eventually(async () => {
      clock.advance(1_000);
      return (await readAll("run_old")).lines.length === 0;
    }, "the log to be deleted");
    expect(await countEffects(ground.storage, "run_old")).toBe(0);
    expect(await countEffects(ground.storage, "run_older")).toBe(1);
    await ground.storage.timers.stop();
  });
});
