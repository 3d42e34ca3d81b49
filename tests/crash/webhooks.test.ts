import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../server/src/kernel/clock.ts";
import { TIMER_CLAIM_MS } from "../../server/src/storage/contract.ts";
import { engine } from "../fixtures/engine.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { postgresMissing, startPostgres } from "../fixtures/postgres.ts";
import { openReceiver, type Receiver } from "../fixtures/receiver.ts";
import { openWebhooks, verifierOfDocs } from "../fixtures/webhooks_ground.ts";
import { start } from "./child.ts";

const CHILD = [process.execPath, "--import", "tsx", fileURLToPath(new URL("./webhooks_child.ts", import.meta.url))];
const NOTICES = 20;
const WAIT_MS = 60_000;

let receiver: Receiver | undefined;
afterEach(async () => {
  await receiver?.close();
  await engine.server?.remove();
  engine.server = undefined;
});

/** A server that knows one webhook, and stopped. */
async function prepared(url: string) {
  const ground = await openWebhooks();
  const { secret } = await ground.webhooks.create(ground.owner, { url });
  await ground.stop();
  return { directory: ground.directory, secret };
}

/** Kills a child with `kill -9` once it has come so far, starts anew, and says what arrived. */
async function killed(what: "send" | "hold", far: (lines: number) => boolean) {
  receiver = await openReceiver();
  const { received, url } = receiver;
  const { directory, secret } = await prepared(url);
  const child = start([...CHILD, directory, what, String(NOTICES)]);
  await eventually(() => far(child.lines.length), "the child to come so far", WAIT_MS);
  child.process.kill("SIGKILL");
  await child.ended;
  const before = received.length;
  const acknowledged = child.lines.map((line) => Number(line.acknowledged));
  // What the dead one had claimed is its own for a while: by this clock, that is over.
  const later = { ...systemClock(), now: () => Date.now() + 2 * TIMER_CLAIM_MS };
  const ground = await openWebhooks({ directory, clock: later });
  try {
    ground.storage.timers.start(() => {});
    const [webhook] = await ground.webhooks.list(ground.owner);
    await eventually(
      async () => (await ground.webhooks.list(ground.owner))[0]?.waiting === 0,
      "all that waited to be sent",
      WAIT_MS,
    );
    const { items } = await ground.webhooks.deliveries(ground.owner, webhook?.id ?? "", { limit: 200 });
    expect(items.every(({ state }) => state === "delivered")).toBe(true);
  } finally {
    await ground.remove();
  }
  const { verifyNotice } = await verifierOfDocs();
  const notices = received.map(({ headers, body }) => verifyNotice(secret, headers, body));
  return { before, acknowledged, notices };
}

/** What was acknowledged has arrived, and what came twice came under the id that it had. */
function expectAll(acknowledged: number[], notices: { id: string; data: Record<string, unknown> }[]): void {
  const told = new Map(notices.map(({ id, data }) => [id, Number(data["n"])]));
  expect(new Set(told.values()).size).toBe(told.size);
  expect([...told.values()]).toEqual(expect.arrayContaining(acknowledged));
}

async function suite(): Promise<void> {
  const held = await killed("hold", (lines) => lines === NOTICES);
  expect(held.before).toBe(0);
  expect(held.notices).toHaveLength(NOTICES);
  expectAll(held.acknowledged, held.notices);
  await receiver?.close();
  const sent = await killed("send", (lines) => lines >= NOTICES / 2 && (receiver?.received.length ?? 0) > 0);
  expect(sent.before).toBeGreaterThan(0);
  expectAll(sent.acknowledged, sent.notices);
}

describe("notices of a process that is killed between their commit and their delivery", () => {
  it("are sent after the next start, with SQLite", suite, 2 * WAIT_MS);

  it(
    "are sent after the next start, with PostgreSQL",
    async (context) => {
      need(context, "postgres", postgresMissing());
      engine.server = await startPostgres();
      await suite();
    },
    2 * WAIT_MS,
  );
});
