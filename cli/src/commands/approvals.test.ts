import type { Webhook } from "@gantry/sdk";
import { afterEach, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import { approvalView, type StubRequest, stubServer, testTerminal } from "../testing.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function run(answer: (request: StubRequest) => [number, unknown], ...words: string[]) {
  const server = await stubServer(answer);
  closers.push(server.close);
  const io = testTerminal({ env: { GANTRY_URL: server.url, GANTRY_TOKEN: "gtr_x" } });
  const exit = await runProgram(words, io, { server: "", examples: "", version: "0" });
  const urls = server.seen.map(({ method, url }) => `${method} ${url}`);
  return { exit, out: io.out(), err: io.err(), urls, bodies: server.seen.map(({ body }) => body) };
}

const webhook: Webhook = {
  id: "whk_1",
  url: "https://hooks.example.com/…",
  events: ["approval.requested", "glass.broken"],
  created_by: "act_1",
  created_at: 1_700_000_000_000,
  waiting: 2,
  dead: 1,
};
const forbidden = { status: 403, code: "SCOPE_MISSING", title: "t", detail: "d", type: "t" };

test("approvals list shows what waits, and says that notices are dead", async () => {
  const view = await approvalView({ statement: { not_after: Date.now() + 3_600_500 } });
  const listed = await run(
    ({ url }) => [200, { items: url.startsWith("/v1/webhooks") ? [webhook] : [view] }],
    "approvals",
    "list",
  );
  expect(listed.exit).toBe(0);
  expect(listed.out).toBe(
    [
      "APPROVAL  CREATED       STATUS   LEFT  VOTES  GATE    WHAT",
      "apr_1     11-14 22:13Z  pending   1 h    0/2  deploy  agent local asks to run code under ship",
      "",
    ].join("\n"),
  );
  expect(listed.err).toBe("warn 1 notice could not be delivered: see gantry webhooks list.\n");
  expect(listed.urls).toEqual(["GET /v1/approvals?limit=20&status=pending", "GET /v1/webhooks"]);
});

test("approvals list goes on where webhooks may not be seen, and lists all that there were", async () => {
  const view = await approvalView({ status: "declined" });
  const listed = await run(
    ({ url }) => (url.startsWith("/v1/webhooks") ? [403, forbidden] : [200, { items: [view] }]),
    "approvals",
    "list",
    "--status",
    "all",
    "--json",
  );
  expect(listed).toMatchObject({ exit: 0, err: "" });
  expect(JSON.parse(listed.out)).toEqual({ items: [view], more: false });
  expect(listed.urls[0]).toBe("GET /v1/approvals?limit=20");
  expect(await run(() => [200, {}], "approvals", "list", "--status", "open")).toMatchObject({ exit: 2, urls: [] });
});

test("approvals show is the page, or the document whose hash a vote names", async () => {
  const view = await approvalView();
  expect((await run(() => [200, view], "approvals", "show", "apr_1")).out).toContain("How far it reaches");
  expect(JSON.parse((await run(() => [200, view], "approvals", "show", "apr_1", "--json")).out)).toEqual(view);
});

test("reviews are listed and closed with a note, and attend says until when", async () => {
  const debt = {
    id: "bgl_1",
    approval: "apr_1",
    actor: "act_1",
    reason: "down",
    until_at: 1,
    debt: "open",
    closed_by: null,
    closed_note: null,
    at: 1_700_000_000_000,
  };
  const listed = await run(() => [200, { items: [debt] }], "reviews", "list");
  expect(listed.out).toBe(
    "REVIEW  BROKEN        BY     APPROVAL  REASON\nbgl_1   11-14 22:13Z  act_1  apr_1     down\n",
  );
  expect(await run(() => [200, debt], "reviews", "close", "bgl_1")).toMatchObject({ exit: 2, urls: [] });
  const closed = await run(() => [200, { ...debt, debt: "closed" }], "reviews", "close", "bgl_1", "--note", "fine");
  expect(closed).toMatchObject({
    exit: 0,
    out: "bgl_1 closed\n",
    urls: ["POST /v1/review-debts/bgl_1/close"],
    bodies: ['{"note":"fine"}'],
  });
  const attended = await run(() => [200, { until_at: 1_700_000_000_000 }], "attend");
  expect(attended).toMatchObject({
    out: "You are taken to watch until 2023-11-14 22:13:20Z.\n",
    urls: ["POST /v1/attendance"],
  });
});

test("webhooks are listed, added with their secret alone on standard output, and removed", async () => {
  const listed = await run(() => [200, { items: [webhook] }], "webhooks", "list");
  expect(listed.out).toBe(
    "WEBHOOK  URL                          WAITING  DEAD  EVENTS\nwhk_1    https://hooks.example.com/…        2     1  approval.requested glass.broken\n",
  );
  const words = [
    "webhooks",
    "add",
    "https://hooks.example.com/in",
    "--event",
    "glass.broken",
    "--event",
    "debt.closed",
  ];
  const added = await run(() => [201, { ...webhook, secret: "whsec_x" }], ...words);
  expect(added).toMatchObject({ exit: 0, out: "whsec_x\n", urls: ["POST /v1/webhooks"] });
  expect(JSON.parse(added.bodies[0] ?? "")).toEqual({
    url: "https://hooks.example.com/in",
    events: ["glass.broken", "debt.closed"],
  });
  const removed = await run(() => [200, {}], "webhooks", "rm", "whk_1");
  expect(removed).toMatchObject({ exit: 0, out: "whk_1 removed\n", urls: ["DELETE /v1/webhooks/whk_1"] });
});

test("webhooks test waits for the first try, and exits 1 when it did not arrive", async () => {
  const sent = { id: "msg_1", event: "webhook.test", state: "waiting", attempts: 0, status: null, error: null };
  const became = (delivery: object) => {
    let looks = 0;
    return ({ method }: StubRequest): [number, unknown] => {
      if (method === "POST") return [202, sent];
      looks += 1;
      return [200, { items: [looks === 1 ? sent : { ...sent, ...delivery }] }];
    };
  };
  const arrived = await run(became({ state: "delivered", attempts: 1, status: 204 }), "webhooks", "test", "whk_1");
  expect(arrived).toMatchObject({ exit: 0, out: "delivered  status 204\n" });
  expect(arrived.urls).toHaveLength(3);
  const lost = await run(became({ attempts: 1, error: "no answer: ECONNREFUSED" }), "webhooks", "test", "whk_1");
  expect(lost).toMatchObject({ exit: 1, out: "not delivered  no answer: ECONNREFUSED\n" });
});
