import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { openReceiver, type Receiver } from "../../../tests/fixtures/receiver.ts";
import { roomApp } from "../../../tests/fixtures/room_app.ts";
import { openWebhooks, type WebhooksGround } from "../../../tests/fixtures/webhooks_ground.ts";
import type { Scope } from "../identity/contract.ts";
import {
  DELIVERIES_PAGE_DEFAULT,
  DELIVERIES_PAGE_MAX,
  WEBHOOK_EVENTS,
  WEBHOOK_URL_CHARS_MAX,
  WEBHOOKS_PER_TENANT_MAX,
} from "./contract.ts";
import { webhookRoutes } from "./webhook_routes.ts";
import { parseWebhookUrl } from "./webhook_url.ts";

let ground: WebhooksGround;
let receiver: Receiver;
let scopes: Scope[];

beforeEach(async () => {
  scopes = ["gate:read", "webhook:manage"];
  receiver = await openReceiver();
  ground = await openWebhooks();
});
afterEach(async () => {
  await ground.remove();
  await receiver.close();
});

async function call(method: string, path = "", body?: unknown) {
  const app = roomApp(() => ({ ...ground.owner, scopes: new Set(scopes) }));
  app.route("/", webhookRoutes({ webhooks: ground.webhooks, identity: ground.identity }));
  const answer = await app.request(`/v1/webhooks${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text === "" ? undefined : JSON.parse(text) };
}

describe("a webhook", () => {
  it("is made, listed, tested and removed, and its secret is shown once", async () => {
    ground.storage.timers.start(() => {});
    const made = await call("POST", "", { url: `${receiver.url}/in` });
    expect(made.status).toBe(201);
    expect(made.body).toEqual({
      id: expect.stringMatching(/^whk_/),
      url: `${receiver.url}/…`,
      events: [...WEBHOOK_EVENTS],
      created_by: ground.owner.actor,
      created_at: expect.any(Number),
      waiting: 0,
      dead: 0,
      secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
    });
    const { secret, ...view } = made.body;
    expect((await call("GET")).body).toEqual({ items: [view] });
    const sent = await call("POST", `/${view.id}/test`);
    expect(sent).toMatchObject({ status: 202, body: { event: "webhook.test", state: "waiting", attempts: 0 } });
    const deliveries = async () => (await call("GET", `/${view.id}/deliveries`)).body.items;
    await eventually(async () => (await deliveries())[0]?.state === "delivered");
    expect(await deliveries()).toEqual([
      {
        ...sent.body,
        state: "delivered",
        attempts: 1,
        status: 204,
        due_at: null,
        settled_at: expect.any(Number),
      },
    ]);
    expect(JSON.parse(receiver.received[0]?.body ?? "")).toMatchObject({ type: "webhook.test" });
    expect(await call("DELETE", `/${view.id}`)).toEqual({ status: 204, body: undefined });
    expect((await call("GET")).body).toEqual({ items: [] });
    expect((await call("DELETE", `/${view.id}`)).body.code).toBe("WEBHOOK_UNKNOWN");
    expect(secret).not.toBe(view.id);
  });

  it("of another tenant is as one that is not there", async () => {
    const tenant = ground.ids("ten");
    await ground.storage.write((tx) => tx.run("INSERT INTO tenants VALUES (?, 'b', 'active', '{}', 1, 1)", [tenant]));
    const { id } = await ground.webhooks.create({ ...ground.owner, tenant }, { url: receiver.url });
    for (const one of [id, "whk_nobody"]) {
      expect(await call("DELETE", `/${one}`)).toMatchObject({ status: 404, body: { code: "WEBHOOK_UNKNOWN" } });
      expect(await call("POST", `/${one}/test`)).toMatchObject({ status: 404 });
      expect(await call("GET", `/${one}/deliveries`)).toMatchObject({ status: 404 });
    }
    expect((await call("GET")).body.items).toEqual([]);
  });

  it("is seen with gate:read and changed with webhook:manage", async () => {
    const { id } = await ground.webhooks.create(ground.owner, { url: receiver.url });
    scopes = ["gate:read"];
    for (const answer of [
      await call("POST", "", { url: receiver.url }),
      await call("DELETE", `/${id}`),
      await call("POST", `/${id}/test`),
    ]) {
      expect(answer).toMatchObject({ status: 403, body: { code: "SCOPE_MISSING" } });
    }
    scopes = ["webhook:manage"];
    expect((await call("GET")).status).toBe(403);
    expect((await call("GET", `/${id}/deliveries`)).status).toBe(403);
  });

  it(`is one of at most ${WEBHOOKS_PER_TENANT_MAX}`, async () => {
    for (let n = 0; n < WEBHOOKS_PER_TENANT_MAX; n++) {
      expect((await call("POST", "", { url: receiver.url })).status).toBe(201);
    }
    const refused = await call("POST", "", { url: receiver.url });
    expect(refused).toMatchObject({ status: 409, body: { code: "WEBHOOK_LIMIT" } });
  });

  it("is told of events that there are, at least one", async () => {
    const made = await call("POST", "", { url: receiver.url, events: ["debt.closed", "glass.broken", "debt.closed"] });
    expect(made.body.events).toEqual(["glass.broken", "debt.closed"]);
    for (const events of [[], ["run.ended"], ["debt.closed", "x"]]) {
      const refused = await call("POST", "", { url: receiver.url, events });
      expect(refused).toMatchObject({ status: 400, body: { code: "WEBHOOK_EVENTS" } });
    }
    expect((await call("POST", "", { url: receiver.url, secret: "mine" })).status).toBe(400);
    expect((await call("POST", "", { events: ["debt.closed"] })).status).toBe(400);
  });

  it(`is given its deliveries by the page, ${DELIVERIES_PAGE_DEFAULT} or up to ${DELIVERIES_PAGE_MAX}`, async () => {
    const { id } = await ground.webhooks.create(ground.owner, { url: receiver.url });
    for (let n = 0; n <= DELIVERIES_PAGE_MAX; n++) await ground.tell("debt.closed");
    expect((await call("GET", `/${id}/deliveries`)).body.items).toHaveLength(DELIVERIES_PAGE_DEFAULT);
    const page = (await call("GET", `/${id}/deliveries?limit=${DELIVERIES_PAGE_MAX}`)).body;
    expect(page.items).toHaveLength(DELIVERIES_PAGE_MAX);
    const rest = (await call("GET", `/${id}/deliveries?cursor=${page.next}`)).body;
    expect(rest.items).toHaveLength(1);
    expect(rest.next).toBeUndefined();
    const ids = [...page.items, ...rest.items].map((item: { id: string }) => item.id);
    expect(ids).toEqual([...new Set(ids)].sort().reverse());
    for (const query of [`limit=${DELIVERIES_PAGE_MAX + 1}`, "limit=0", "limit=x", "cursor=n", "state=dead"]) {
      expect((await call("GET", `/${id}/deliveries?${query}`)).status, query).toBe(400);
    }
  });
});

describe("what is secret", () => {
  const password = "p4ssw0rd-of-the-hook";
  const path = "path-which-is-a-secret";

  it("reaches the receiver, and stands in no row, entry, answer or log in clear", async () => {
    ground.storage.timers.start(() => {});
    const url = `${receiver.url.replace("//", `//me:${password}@`)}/${path}?key=${password}`;
    const { id, secret } = (await call("POST", "", { url })).body;
    await ground.tell("glass.broken");
    await eventually(() => receiver.received.length === 1);
    const basic = Buffer.from(`me:${password}`).toString("base64");
    expect(receiver.received[0]?.headers.authorization).toBe(`Basic ${basic}`);
    await receiver.close();
    await ground.tell("glass.broken");
    const deliveries = async () => (await call("GET", `/${id}/deliveries`)).body.items;
    await eventually(async () => (await deliveries())[0]?.attempts === 1);
    const entries = await ground.ledger.list({ tenant: ground.owner.tenant, limit: 200 });
    expect(entries.items.filter(({ kind }) => kind === "webhook.created")).toMatchObject([{ data: { webhook: id } }]);
    const kept = JSON.stringify([
      await ground.storage.all("SELECT * FROM webhooks", []),
      await ground.storage.all("SELECT * FROM notifications", []),
      await ground.storage.all("SELECT owner, key, payload FROM timers", []),
      entries,
      (await call("GET")).body,
      await deliveries(),
      ground.logged,
    ]);
    expect(kept).toContain(id);
    for (const one of [password, path, secret, secret.slice("whsec_".length)]) expect(kept).not.toContain(one);
    receiver = await openReceiver();
  });

  it("is not repeated by a refusal", async () => {
    for (const url of [
      `ftp://me:${password}@x.example/`,
      `https://me:${password}@[`,
      `https://x.example/#${password}`,
    ]) {
      const refused = await call("POST", "", { url });
      expect(refused).toMatchObject({ status: 400, body: { code: "WEBHOOK_URL" } });
      expect(JSON.stringify(refused.body)).not.toContain(password);
    }
  });
});

describe("a webhook's URL", () => {
  it(`has at most ${WEBHOOK_URL_CHARS_MAX} characters`, () => {
    const url = (length: number) => `https://x.example/${"a".repeat(length - "https://x.example/".length)}`;
    expect(parseWebhookUrl(url(WEBHOOK_URL_CHARS_MAX), false).hostname).toBe("x.example");
    expect(() => parseWebhookUrl(url(WEBHOOK_URL_CHARS_MAX + 1), false)).toThrow(/2048/);
  });

  it("is https, and http only where private addresses are allowed", () => {
    expect(() => parseWebhookUrl("http://x.example", false)).toThrow(/webhooks_private/);
    expect(parseWebhookUrl("http://x.example", true).protocol).toBe("http:");
    for (const url of ["file:///etc/passwd", "javascript:1", "x.example", ""]) {
      expect(() => parseWebhookUrl(url, true), url).toThrow(/WEBHOOK_URL/);
    }
  });
});
