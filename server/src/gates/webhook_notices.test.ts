import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { openReceiver, type Received, type Receiver } from "../../../tests/fixtures/receiver.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { openWebhooks, verifierOfDocs, type WebhooksGround } from "../../../tests/fixtures/webhooks_ground.ts";
import {
  NOTICE_ANSWER_BYTES_MAX,
  NOTICE_SENDS_MAX,
  NOTICE_SENDS_PER_TENANT_MAX,
  NOTICES_KEPT_MS,
  NOTICES_WAITING_MAX,
  WEBHOOK_BODY_BYTES_MAX,
  WEBHOOK_RETRY_MS,
  WEBHOOK_TIMEOUT_MS,
} from "./contract.ts";

const clock = new VirtualClock(Date.UTC(2026, 2, 1));
let ground: WebhooksGround;
let receiver: Receiver;

beforeEach(async () => {
  receiver = await openReceiver();
  ground = await openWebhooks({ clock });
  ground.storage.timers.start(() => {});
});
afterEach(async () => {
  await ground.remove();
  await receiver.close();
});

const add = (path = "/hook", events?: string[]) =>
  ground.webhooks.create(ground.owner, { url: `${receiver.url}${path}`, ...(events === undefined ? {} : { events }) });
const deliveries = async (id: string) => (await ground.webhooks.deliveries(ground.owner, id, {})).items;
const first = async (id: string) => (await deliveries(id)).at(-1);

describe("a notice", () => {
  it("arrives signed, and the verifier that the documents print takes it, and nothing else", async () => {
    const { verifyNotice, lines } = await verifierOfDocs();
    expect(lines).toBeLessThanOrEqual(30);
    const { id, secret } = await add("/hook?token=q");
    await ground.tell("approval.requested", { approval: "apr_1", gate: "deploy" });
    await eventually(async () => (await first(id))?.state === "delivered");
    const [seen] = receiver.received as [Received];
    expect(seen.url).toBe("/hook?token=q");
    expect(seen.headers["content-type"]).toBe("application/json");
    const { headers, body } = seen;
    const notice = verifyNotice(secret, headers, body, clock.now());
    expect(notice).toEqual({
      id: (await first(id))?.id,
      type: "approval.requested",
      timestamp: new Date(clock.now()).toISOString(),
      tenant: ground.owner.tenant,
      data: { approval: "apr_1", gate: "deploy" },
    });
    const refused = (h: object, b = body, s = secret, now = clock.now()) =>
      expect(() => verifyNotice(s, { ...headers, ...h }, b, now)).toThrow();
    refused({}, body.replace("deploy", "deplox"));
    refused({ "webhook-id": "msg_2" });
    refused({ "webhook-timestamp": "1" });
    refused({ "webhook-timestamp": undefined });
    refused({ "webhook-signature": "v1,AAAA" });
    refused({ "webhook-signature": undefined });
    refused({}, body, "whsec_AAAA");
    refused({}, body, secret, clock.now() + 301_000);
    refused({}, body, secret, clock.now() - 301_000);
    const two = { ...headers, "webhook-signature": `v1,AAAA v2,x ${String(headers["webhook-signature"])}` };
    expect(verifyNotice(secret, two, body, clock.now()).type).toBe("approval.requested");
  });

  it("goes to those who asked for its event, and to the tenant's own alone", async () => {
    const wants = await add("/a", ["glass.broken"]);
    const other = await add("/b", ["debt.closed"]);
    await ground.tell("glass.broken");
    await ground.storage.write((tx) =>
      ground.notices.notify(tx, { tenant: ground.ids("ten"), event: "debt.closed", at: clock.now(), data: {} }),
    );
    await eventually(async () => (await first(wants.id))?.state === "delivered");
    expect(await deliveries(other.id)).toEqual([]);
    expect(receiver.received.map(({ url }) => url)).toEqual(["/a"]);
  });

  it("is not there when the unit that tells of it came to nothing", async () => {
    const { id } = await add();
    const event = { tenant: ground.owner.tenant, event: "glass.broken", at: 1, data: {} } as const;
    const unit = ground.storage.write(async (tx) => {
      await ground.notices.notify(tx, event);
      throw new Error("no");
    });
    await expect(unit).rejects.toThrow("no");
    expect(await deliveries(id)).toEqual([]);
  });

  it(`has at most ${WEBHOOK_BODY_BYTES_MAX} bytes: of one that has more, what is short remains`, async () => {
    await add();
    const room = (n: number) => ({ approval: "apr_1", text: "x".repeat(n) });
    const overhead = JSON.stringify({
      type: "approval.requested",
      timestamp: new Date(clock.now()).toISOString(),
      tenant: ground.owner.tenant,
      data: room(0),
    }).length;
    await ground.tell("approval.requested", room(WEBHOOK_BODY_BYTES_MAX - overhead));
    await ground.tell("approval.requested", room(WEBHOOK_BODY_BYTES_MAX - overhead + 1));
    await ground.tell("approval.requested", Object.fromEntries(Array.from({ length: 9_000 }, (_, n) => [`m${n}`, n])));
    await eventually(() => receiver.received.length === 3);
    const bodies = receiver.received.map(({ body }) => body).sort((a, b) => b.length - a.length);
    expect(bodies[0]?.length).toBe(WEBHOOK_BODY_BYTES_MAX);
    expect(
      bodies
        .slice(1)
        .map((body) => JSON.parse(body).data)
        .sort((a) => ("approval" in a ? -1 : 1)),
    ).toEqual([{ approval: "apr_1", cut: true }, { cut: true }]);
  });
});

describe("a receiver that does not take it", () => {
  it("is asked again after each wait, with the same id and a new time, and then no more", async () => {
    const { verifyNotice } = await verifierOfDocs();
    receiver.answer = (_, response) => void response.writeHead(500).end("no");
    const { id, secret } = await add();
    await ground.tell("approval.requested");
    for (const [n, wait_ms] of WEBHOOK_RETRY_MS.entries()) {
      await eventually(async () => (await first(id))?.attempts === n + 1, `attempt ${n + 1}`);
      expect(await first(id)).toMatchObject({
        state: "waiting",
        status: 500,
        error: "it answered with status 500",
        due_at: clock.now() + wait_ms,
      });
      clock.advance(wait_ms - 1_500);
      expect(receiver.received).toHaveLength(n + 1);
      clock.advance(2_500);
    }
    await eventually(async () => (await first(id))?.state === "dead");
    expect(await first(id)).toMatchObject({ attempts: WEBHOOK_RETRY_MS.length + 1, due_at: null });
    const ids = receiver.received.map(({ headers, body }) => {
      return verifyNotice(secret, headers, body, Number(headers["webhook-timestamp"]) * 1_000).id;
    });
    expect(new Set(ids).size).toBe(1);
    const times = receiver.received.map(({ headers }) => Number(headers["webhook-timestamp"]));
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
    expect(await ground.webhooks.list(ground.owner)).toMatchObject([{ waiting: 0, dead: 1 }]);
    expect(ground.logged.join()).toContain("given up");
  });

  it("that fails once is told at the second attempt, and what was dead is gone after its time", async () => {
    receiver.answer = (_, response, n) => void response.writeHead(n === 1 ? 503 : 200).end();
    const { id } = await add();
    await ground.tell("approval.requested");
    await eventually(async () => (await first(id))?.attempts === 1);
    clock.advance(WEBHOOK_RETRY_MS[0] + 1_000);
    await eventually(async () => (await first(id))?.state === "delivered");
    expect(await first(id)).toMatchObject({ attempts: 2, status: 200, error: null });
    clock.advance(NOTICES_KEPT_MS - WEBHOOK_RETRY_MS[0]);
    await ground.tell("approval.approved");
    await eventually(async () => (await deliveries(id))[0]?.state === "delivered");
    expect(await deliveries(id)).toHaveLength(2);
    clock.advance(WEBHOOK_RETRY_MS[0] + 1_000);
    await ground.tell("approval.expired");
    await eventually(async () => (await deliveries(id))[0]?.state === "delivered");
    expect((await deliveries(id)).map(({ event }) => event)).toEqual(["approval.expired", "approval.approved"]);
  });

  it("redirects to nowhere", async () => {
    receiver.answer = (_, response) => void response.writeHead(302, { location: "/elsewhere" }).end();
    const { id } = await add();
    await ground.tell("approval.requested");
    await eventually(async () => (await first(id))?.attempts === 1);
    expect((await first(id))?.error).toBe("it answered with status 302: redirects are not followed");
    expect(receiver.received.map(({ url }) => url)).toEqual(["/hook"]);
  });

  it(`may answer with ${NOTICE_ANSWER_BYTES_MAX} bytes, and not with one more`, async () => {
    receiver.answer = (_, response, n) => void response.end("x".repeat(NOTICE_ANSWER_BYTES_MAX + (n === 1 ? 0 : 1)));
    const { id } = await add();
    await ground.tell("approval.requested");
    await eventually(async () => (await first(id))?.state === "delivered");
    await ground.tell("approval.approved");
    await eventually(async () => (await deliveries(id))[0]?.attempts === 1);
    expect((await deliveries(id))[0]).toMatchObject({ state: "waiting", status: null });
    expect((await deliveries(id))[0]?.error).toContain(String(NOTICE_ANSWER_BYTES_MAX));
  });

  it(`may take ${WEBHOOK_TIMEOUT_MS} ms`, async () => {
    receiver.answer = () => {};
    const { id } = await add();
    await ground.tell("approval.requested");
    await eventually(() => receiver.received.length === 1);
    clock.advance(WEBHOOK_TIMEOUT_MS - 1);
    expect((await first(id))?.attempts).toBe(0);
    clock.advance(1);
    await eventually(async () => (await first(id))?.attempts === 1);
    expect((await first(id))?.error).toContain("no whole answer");
  });

  it("and that nobody is, is said without its address", async () => {
    const { id } = await add("/secret-path");
    await receiver.close();
    await ground.tell("approval.requested");
    await eventually(async () => (await first(id))?.attempts === 1);
    expect((await first(id))?.error).toBe("no answer: ECONNREFUSED");
    receiver = await openReceiver();
  });

  it(`holds up its own: ${NOTICE_SENDS_PER_TENANT_MAX} at a time, of ${NOTICE_SENDS_MAX} for all`, async () => {
    expect(NOTICE_SENDS_PER_TENANT_MAX).toBeLessThan(NOTICE_SENDS_MAX);
    const held: (() => void)[] = [];
    receiver.answer = (_, response) => void held.push(() => response.end());
    const { id } = await add();
    for (let n = 0; n <= NOTICE_SENDS_PER_TENANT_MAX; n++) await ground.tell("approval.requested");
    await eventually(() => held.length === NOTICE_SENDS_PER_TENANT_MAX);
    // The fifth has been looked at and put back: a whole poll has passed and no more came.
    clock.advance(5_000);
    await ground.storage.get("SELECT 1 AS one", []);
    expect(held.length).toBe(NOTICE_SENDS_PER_TENANT_MAX);
    for (const end of held.splice(0)) end();
    await eventually(async () => {
      clock.advance(1_000);
      for (const end of held.splice(0)) end();
      return (await deliveries(id)).every(({ state }) => state === "delivered");
    });
    expect(receiver.received).toHaveLength(NOTICE_SENDS_PER_TENANT_MAX + 1);
  });
});

it(`one node sends ${NOTICE_SENDS_MAX} notices at a time`, async () => {
  let held = 0;
  receiver.answer = () => {
    held += 1;
  };
  const tenants = Array.from({ length: NOTICE_SENDS_MAX / NOTICE_SENDS_PER_TENANT_MAX + 1 }, () => ground.ids("ten"));
  for (const tenant of tenants) {
    await ground.storage.write((tx) =>
      tx.run("INSERT INTO tenants VALUES (?, ?, 'active', '{}', 1, 1)", [tenant, tenant]),
    );
    await ground.webhooks.create({ ...ground.owner, tenant }, { url: receiver.url });
    for (let n = 0; n < NOTICE_SENDS_PER_TENANT_MAX; n++) await ground.tell("glass.broken", {}, tenant);
  }
  await eventually(() => held === NOTICE_SENDS_MAX);
  clock.advance(5_000);
  await ground.storage.get("SELECT 1 AS one", []);
  expect(held).toBe(NOTICE_SENDS_MAX);
});

describe("notices that wait", () => {
  it(`are at most ${NOTICES_WAITING_MAX} of a tenant; one more is dead, and what it tells of goes on`, async () => {
    receiver.answer = (_, response) => void response.writeHead(500).end();
    const { id } = await add();
    await ground.tell("approval.requested");
    await eventually(async () => (await first(id))?.attempts === 1);
    const { tenant } = ground.owner;
    const at = clock.now();
    // The others as the first, in one statement each; the engine that is measured is not this test's.
    for (let n = 1; n < NOTICES_WAITING_MAX; n += 111) {
      await ground.storage.write((tx) => {
        for (let m = n; m < n + 111; m++) {
          tx.run(
            `INSERT INTO notifications (id, tenant_id, webhook_id, event, body, state, attempts, created_at, due_at)
             VALUES (?, ?, ?, 'debt.closed', '', 'waiting', 0, ?, ?)`,
            [ground.ids("msg"), tenant, id, at, at],
          );
        }
      });
    }
    expect((await ground.webhooks.list(ground.owner))[0]?.waiting).toBe(NOTICES_WAITING_MAX);
    await ground.tell("approval.approved");
    expect((await deliveries(id))[0]).toMatchObject({ state: "dead", error: "as many notices waited as may" });
    await expect(ground.webhooks.test(ground.owner, id)).rejects.toMatchObject({ code: "WEBHOOK_WAITING" });
    await ground.storage.write((tx) => tx.run("DELETE FROM notifications WHERE webhook_id = ? AND attempts = 1", [id]));
    await ground.tell("approval.expired");
    expect((await deliveries(id))[0]?.state).toBe("waiting");
  });

  it("are gone with their webhook", async () => {
    receiver.answer = (_, response) => void response.writeHead(500).end();
    const { id } = await add();
    await ground.tell("approval.requested");
    await eventually(async () => (await first(id))?.attempts === 1);
    await ground.webhooks.remove(ground.owner, id);
    clock.advance(WEBHOOK_RETRY_MS[0] + 1_000);
    await eventually(async () => (await ground.storage.get("SELECT count(*) AS n FROM timers", []))?.["n"] === 0);
    expect(receiver.received).toHaveLength(1);
  });

  it("are broken off by a stop, without counting as tried, and go out after the next start", async () => {
    receiver.answer = () => {};
    const { id } = await add();
    await ground.tell("approval.requested");
    await eventually(() => receiver.received.length === 1);
    await ground.stop();
    receiver.answer = (_, response) => void response.end();
    ground = await openWebhooks({ clock, directory: ground.directory });
    expect(await first(id)).toMatchObject({ state: "waiting", attempts: 0 });
    ground.storage.timers.start(() => {});
    clock.advance(5_000);
    await eventually(async () => (await first(id))?.state === "delivered");
    expect(receiver.received[1]?.headers["webhook-id"]).toBe(receiver.received[0]?.headers["webhook-id"]);
  });
});

it("a secret is rotated by a second webhook, and nothing is missed", async () => {
  const { verifyNotice } = await verifierOfDocs();
  const old = await add();
  const next = await add();
  await ground.tell("approval.requested");
  await eventually(() => receiver.received.length === 2);
  const opens = (secret: string) =>
    receiver.received.filter(({ headers, body }) => {
      try {
        return verifyNotice(secret, headers, body, clock.now()) !== undefined;
      } catch {
        return false;
      }
    }).length;
  expect([opens(old.secret), opens(next.secret)]).toEqual([1, 1]);
  await ground.webhooks.remove(ground.owner, old.id);
  await ground.tell("approval.approved");
  await eventually(() => receiver.received.length === 3);
  expect([opens(old.secret), opens(next.secret)]).toEqual([1, 2]);
});
