import type { OpenAPIHono } from "@hono/zod-openapi";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { roomApp } from "../../../../tests/fixtures/room_app.ts";
import { StallingStorage } from "../../../../tests/fixtures/stalling_storage.ts";
import type { Principal, RouteEnv } from "../../identity/contract.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { EntryId } from "../../kernel/ids.ts";
import { errors as storage_errors } from "../../storage/contract.ts";
import { type EntryView, FIELD_NAME } from "../contract.ts";
import { evidenceRoutes } from "../routes.ts";
import { commitField } from "./commitment.ts";
import { RecordedOpening } from "./values.ts";

let ground: Ground;
let stalling: StallingStorage;
let app: OpenAPIHono<RouteEnv>;
let who: Principal;
let id: EntryId;

beforeAll(async () => {
  ground = await openGround({
    kinds: { "note.made": z.strictObject({}) },
    wrap: (inner) => {
      stalling = new StallingStorage(inner);
      return stalling;
    },
  });
  app = roomApp(() => who);
  app.route("/", evidenceRoutes<Principal>({ ...ground, values: new RecordedOpening(ground) }));
  id = await ground.storage.write((tx) =>
    ground.ledger.append(tx, {
      kind: "note.made",
      tenant: ground.owner.tenant,
      actor: [],
      refs: ["run_1"],
      data: {},
      private: {
        why: { class: "prompts", value: "because\0", redaction: "keep" },
        prompt: { class: "prompts", value: "do it", redaction: "drop" },
        log: { class: "logs", value: "line", redaction: "keep" },
      },
    }),
  );
  const erase = "UPDATE evidence_private SET key = NULL, value = NULL WHERE entry = ? AND field = 'log'";
  await ground.storage.write((tx) => tx.run(erase, [id], 1));
});
afterAll(() => ground.remove());
beforeEach(() => {
  who = ground.owner;
});

type Answer = EntryView & { code: string; opened?: Record<string, { key: string; value: string }> };
const ask = async (query: string, of: string = id) => {
  const answer = await app.request(`/v1/evidence/entries/${of}${query}`);
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Answer };
};
const openings = async () =>
  (await ground.ledger.list({ tenant: ground.owner.tenant, kind: "evidence.opened", limit: 200 })).items;
const withScopes = async (...scopes: ("evidence:read" | "evidence:export" | "run:read")[]) => {
  const token = await ground.identity.mintToken(ground.owner, { scopes });
  who = await ground.identity.authenticate(token.secret);
};

describe("?open=", () => {
  it("answers the entry and the value, with which the reader can check what the entry commits to", async () => {
    const { status, headers, body } = await ask("?open=why");
    expect(status).toBe(200);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(Object.keys(body.opened ?? {})).toEqual(["why"]);
    const { key, value } = body.opened!["why"]!;
    expect(Buffer.from(value, "base64").toString("utf8")).toBe("because\0");
    const bytes = [Buffer.from(key, "base64"), Buffer.from(value, "base64")] as const;
    expect(commitField(bytes[0], id, "why", bytes[1])).toBe(body.commitments?.["why"]);
    const { opened: _opened, ...entry } = body;
    expect(entry).toEqual((await ask("")).body);
    expect((await openings()).at(-1)).toMatchObject({ refs: [id, "run_1"], data: { entry: id, field: "why" } });
  });

  it("is needed: an entry shows that it has private fields, and nothing of their values", async () => {
    const before = (await openings()).length;
    const { body } = await ask("");
    expect(Object.keys(body.commitments ?? {}).sort()).toEqual(["log", "prompt", "why"]);
    expect(body).not.toHaveProperty("opened");
    expect(JSON.stringify(body)).not.toMatch(/because|do it/);
    expect(await openings()).toHaveLength(before);
  });

  it.each([
    ["log", 410, "EVIDENCE_ERASED"],
    ["prompt", 410, "EVIDENCE_NOT_KEPT"],
    ["result", 404, "EVIDENCE_UNKNOWN"],
    ["constructor", 404, "EVIDENCE_UNKNOWN"],
    ["__proto__", 400, "ZodError"],
    ["Why", 400, "ZodError"],
    ["", 400, "ZodError"],
    [`${"a".repeat(33)}`, 400, "ZodError"],
    ["why&open=prompt", 400, "ZodError"],
    ["why&all=1", 400, "ZodError"],
  ])("%s is answered with %i %s, and records nothing", async (field, status, code) => {
    const before = (await openings()).length;
    const answer = await ask(`?open=${field}`);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(await openings()).toHaveLength(before);
    expect(FIELD_NAME.test(field)).toBe(status !== 400);
  });

  it("needs evidence:export and evidence:read", async () => {
    const before = (await openings()).length;
    for (const scopes of [["evidence:read"], ["evidence:export"], ["run:read"]] as const) {
      await withScopes(...scopes);
      const { status, body } = await ask("?open=why");
      expect([status, body.code]).toEqual([403, "SCOPE_MISSING"]);
    }
    expect(await openings()).toHaveLength(before);
    await withScopes("evidence:read", "evidence:export");
    expect((await ask("?open=why")).status).toBe(200);
    // It is the reader who is named, and who minted the token answers for it.
    expect((await openings()).at(-1)?.actor).toEqual(who.chain.map(({ actor, kind }) => ({ actor, kind })));
  });

  it("of another tenant's entry is as of none", async () => {
    const other = await ground.identity.createTenant(ground.owner, "other");
    who = await ground.identity.authenticate(other.token.secret);
    const { status, body } = await ask("?open=why");
    expect([status, body.code]).toEqual([404, "EVIDENCE_UNKNOWN"]);
  });

  it("shows nothing when it cannot be recorded", async () => {
    stalling.failNext(new GantryError(storage_errors.FULL, { detail: "" }));
    const { status, body } = await ask("?open=why");
    expect([status, body.code]).toEqual([503, "EVIDENCE_UNAVAILABLE"]);
    expect(JSON.stringify(body)).not.toContain(Buffer.from("because\0").toString("base64"));
  });

  it("shows nothing before the opening is durable", async () => {
    const before = (await openings()).length;
    const release = stalling.hold("before");
    let answered = false;
    const answer = ask("?open=why").then((got) => {
      answered = true;
      return got;
    });
    while (stalling.held === 0) await new Promise((resolve) => setImmediate(resolve));
    expect([answered, (await openings()).length]).toEqual([false, before]);
    release();
    expect((await answer).status).toBe(200);
    expect(await openings()).toHaveLength(before + 1);
  });
});
