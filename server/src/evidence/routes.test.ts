import type { OpenAPIHono } from "@hono/zod-openapi";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { roomApp } from "../../../tests/fixtures/room_app.ts";
import type { Principal, RouteEnv } from "../identity/contract.ts";
import type { EntryId } from "../kernel/ids.ts";
import { ENTRIES_PAGE_MAX, type EntryView } from "./contract.ts";
import { RecordedOpening } from "./private/values.ts";
import { evidenceRoutes } from "./routes.ts";

let ground: Ground;
let who: Principal;
let app: OpenAPIHono<RouteEnv>;
let ids: EntryId[];

beforeAll(async () => {
  ground = await openGround({ kinds: { "note.made": z.strictObject({ n: z.int() }) } });
  ({ owner: who } = ground);
  app = roomApp(() => who);
  app.route("/", evidenceRoutes<Principal>({ ...ground, values: new RecordedOpening(ground) }));
  ids = [];
  for (const n of [1, 2, 3]) ids.push(await note(n));
  await seal();
});
afterAll(() => ground.remove());

/** What the sealer does for readers: gives each entry that waits its place in the log. */
const seal = (): Promise<void> =>
  ground.storage.write((tx) => {
    tx.run(
      `INSERT INTO evidence_leaves (idx, arrival)
       SELECT (SELECT COUNT(*) FROM evidence_leaves) + ROW_NUMBER() OVER (ORDER BY e.arrival) - 1, e.arrival
       FROM evidence_entries e LEFT JOIN evidence_leaves l ON l.arrival = e.arrival WHERE l.arrival IS NULL`,
      [],
    );
  });

const note = (n: number, ref = "ref-1"): Promise<EntryId> =>
  ground.storage.write((tx) =>
    ground.ledger.append(tx, {
      kind: "note.made",
      tenant: ground.owner.tenant,
      actor: [],
      refs: [ref],
      data: { n },
    }),
  );
const path = "/v1/evidence/entries";
const page = async (query: string) => {
  const answer = await app.request(`${path}?${query}`);
  return { status: answer.status, body: (await answer.json()) as { items: EntryView[]; next?: string; code?: string } };
};

it("entries come by page, by ref and by kind", async () => {
  const first = await page("kind=note.made&ref=ref-1&limit=2");
  expect(first.body.items.map((item) => item.id)).toEqual(ids.slice(0, 2));
  const second = await page(`ref=ref-1&limit=2&cursor=${first.body.next}`);
  expect(second.body.items.map((item) => item.id)).toEqual(ids.slice(2));
  expect(second.body.next).toBeUndefined();
});

it("entries come the newest first when that is asked for, and are followed in no such order", async () => {
  const first = await page("kind=note.made&ref=ref-1&limit=2&order=newest");
  expect(first.body.items.map((item) => item.id)).toEqual(ids.slice(1).toReversed());
  const second = await page(`ref=ref-1&limit=2&order=newest&cursor=${first.body.next}`);
  expect(second.body.items.map((item) => item.id)).toEqual(ids.slice(0, 1));
  expect(second.body.next).toBeUndefined();
  expect((await page("order=newest&follow=1")).status).toBe(400);
});

it("NDJSON has one sealed entry a line, and the index of the last is the cursor", async () => {
  const answer = await app.request(`${path}?ref=ref-1&limit=2`, { headers: { accept: "application/x-ndjson" } });
  expect(answer.headers.get("content-type")).toBe("application/x-ndjson");
  const lines = (await answer.text()).trimEnd().split("\n");
  const entries = lines.map((line) => JSON.parse(line) as EntryView);
  expect(entries.map((entry) => entry.id)).toEqual(ids.slice(0, 2));
  const rest = await page(`ref=ref-1&cursor=${entries.at(-1)!.index}`);
  expect(rest.body.items.map((item) => item.id)).toEqual(ids.slice(2));
});

it("a followed ledger streams what is sealed, until the reader leaves", async () => {
  await note(4, "ref-2");
  await seal();
  const last = (await page("ref=ref-2")).body.items.at(-1)!;
  const answer = await app.request(`${path}?follow=1&ref=ref-2&cursor=${last.index}`);
  const reader = answer.body!.getReader();
  const id = await note(5, "ref-2");
  await seal();
  const { value } = await reader.read();
  expect((JSON.parse(new TextDecoder().decode(value)) as EntryView).id).toBe(id);
  await reader.cancel();
});

it("what waits to be sealed is on the page, and not in NDJSON", async () => {
  const id = await note(6, "ref-6");
  expect((await page("ref=ref-6")).body.items).toMatchObject([{ id, sealed: false }]);
  const answer = await app.request(`${path}?ref=ref-6`, { headers: { accept: "application/x-ndjson" } });
  expect(await answer.text()).toBe("");
});

it.each(["", "&follow=1"])("a cursor past the end of the log is refused%s", async (more) => {
  const answer = await app.request(`${path}?cursor=999999${more}`);
  expect(answer.status).toBe(400);
  expect(await answer.json()).toMatchObject({ code: "EVIDENCE_BAD_RANGE" });
});

it("one entry has the same members as on its page", async () => {
  const answer = await app.request(`${path}/${ids[0]}`);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual((await page("ref=ref-1&limit=1")).body.items[0]);
});

it("another tenant sees neither the page nor the entry", async () => {
  const other = await ground.identity.createTenant(ground.owner, "other");
  who = await ground.identity.authenticate(other.token.secret);
  try {
    expect((await page("ref=ref-1")).body.items).toEqual([]);
    const answer = await app.request(`${path}/${ids[0]}`);
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ code: "EVIDENCE_UNKNOWN" });
  } finally {
    who = ground.owner;
  }
});

it("reading needs evidence:read", async () => {
  const token = await ground.identity.mintToken(ground.owner, { scopes: ["run:read"] });
  who = await ground.identity.authenticate(token.secret);
  try {
    for (const each of [path, `${path}/${ids[0]}`, `${path}?follow=1`]) {
      const answer = await app.request(each);
      expect(answer.status).toBe(403);
      expect(await answer.json()).toMatchObject({ code: "SCOPE_MISSING" });
    }
  } finally {
    who = ground.owner;
  }
});

it.each([
  "limit=0",
  `limit=${ENTRIES_PAGE_MAX + 1}`,
  "cursor=x",
  "cursor=-1",
  "since=yesterday",
  "kind=Run",
  "ref=",
  "follow=2",
  "tenant=ten_1",
])("the query %s is refused", async (query) => {
  expect((await page(query)).status).toBe(400);
});

it("the largest page is allowed", async () => {
  expect((await page(`limit=${ENTRIES_PAGE_MAX}`)).status).toBe(200);
});

it("the routes describe themselves", () => {
  const { paths } = app.getOpenAPIDocument({ openapi: "3.0.0", info: { title: "t", version: "1" } });
  expect(Object.keys(paths)).toEqual([path, `${path}/{id}`]);
});
