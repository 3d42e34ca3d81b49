import type { OpenAPIHono } from "@hono/zod-openapi";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { roomApp } from "../../../../tests/fixtures/room_app.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import type { Principal, RouteEnv } from "../../identity/contract.ts";
import { BUNDLE_NAMES_MAX, BUNDLE_STALL_MS, ENTRY_PRIVATE_MAX } from "../contract.ts";
import { RecordedOpening } from "../private/values.ts";
import { LogBundles } from "./bundle.ts";
import { bundleRoutes } from "./bundle_routes.ts";

let ground: Ground;
let who: Principal;
let app: OpenAPIHono<RouteEnv>;
const clock = new VirtualClock();

beforeAll(async () => {
  ground = await openGround({ kinds: { "note.made": z.strictObject({ n: z.int() }) }, sealing: true });
  const { storage, log, ledger, identity } = ground;
  app = roomApp(() => who);
  const values = new RecordedOpening({ storage, ledger });
  const bundles = new LogBundles({ storage, clock: ground.clock, log, values });
  app.route("/", bundleRoutes<Principal>({ bundles, clock, identity }));
  for (let n = 0; n < 200; n++) {
    await storage.write((tx) =>
      ledger.append(tx, { kind: "note.made", tenant: ground.owner.tenant, actor: [], refs: ["r"], data: { n } }),
    );
  }
  await ground.seal();
});
beforeEach(() => {
  who = ground.owner;
});
afterAll(() => ground.remove());

const begin = (json: unknown) =>
  app.request("/v1/evidence/bundles", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(json),
  });
/** The answer, taken to its end. */
async function ask(json: unknown) {
  const answer = await begin(json);
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text };
}

it("a bundle is NDJSON from header to trailer", async () => {
  const answer = await ask({ refs: ["r"] });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("application/x-ndjson");
  const lines = answer.text.trimEnd().split("\n");
  expect(lines).toHaveLength(202);
  expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ count: 200 });
});

it("what is refused has a status, not half a bundle", async () => {
  const answer = await ask({ refs: ["none"] });
  expect(answer.status).toBe(404);
  expect(JSON.parse(answer.text)).toMatchObject({ code: "EVIDENCE_UNKNOWN" });
});

describe("the question", () => {
  it.each([
    ["nothing", {}],
    ["two at once", { refs: ["r"], since: 0 }],
    ["no name", { refs: [] }],
    ["a range backwards below zero", { range: { from: -1, to: 1 } }],
    ["half a range", { range: { from: 1 } }],
    ["an unknown member", { refs: ["r"], all: true }],
    ["a field that can be none", { refs: ["r"], open: ["../x"] }],
    ["more names than BUNDLE_NAMES_MAX", { refs: Array.from({ length: BUNDLE_NAMES_MAX + 1 }, (_, n) => `r${n}`) }],
    ["more fields than an entry has", { refs: ["r"], open: Array.from({ length: ENTRY_PRIVATE_MAX + 1 }, () => "a") }],
  ])("with %s is refused", async (_what, json) => {
    expect((await ask(json)).status).toBe(400);
  });

  it("takes BUNDLE_NAMES_MAX names", async () => {
    const refs = ["r", ...Array.from({ length: BUNDLE_NAMES_MAX - 1 }, (_, n) => `r${n}`)];
    expect((await ask({ refs })).status).toBe(200);
  });
});

it("exporting takes evidence:export, and other tenants' entries evidence:audit, too", async () => {
  const { size } = await ground.log.checkpoint();
  const other = await ground.identity.createTenant(ground.owner, "other");
  await ground.seal();
  const grown = (await ground.log.checkpoint()).size;
  expect(grown).toBeGreaterThan(size);
  const range = { from: 0, to: grown };
  expect((await ask({ range })).status).toBe(200);

  who = await ground.identity.authenticate(other.token.secret);
  const refused = await ask({ range });
  expect(refused.status).toBe(403);
  expect(JSON.parse(refused.text)).toMatchObject({ code: "SCOPE_MISSING" });

  const reader = await ground.identity.mintToken(ground.owner, { scopes: ["evidence:read"] });
  who = await ground.identity.authenticate(reader.secret);
  expect((await ask({ refs: ["r"] })).status).toBe(403);
  expect((await ask({ what: "may not be asked" })).status).toBe(403);
});

it("a reader that takes nothing for BUNDLE_STALL_MS is cut off, and one that goes on is not", async () => {
  const answer = await begin({ refs: ["r"] });
  const reader = answer.body?.getReader();
  await reader?.read();
  await eventually(() => clock.pending === 1, "the wait to begin");
  clock.advance(BUNDLE_STALL_MS - 1);
  expect((await reader?.read())?.done).toBe(false);
  await eventually(() => clock.pending === 1, "the wait to begin");
  clock.advance(BUNDLE_STALL_MS);
  await expect(
    (async () => {
      while ((await reader?.read())?.done === false);
    })(),
  ).rejects.toThrow("nobody took the bundle");
});
