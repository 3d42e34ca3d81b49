import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type GatesGround, openGates, type Person } from "../../../tests/fixtures/gates_ground.ts";
import { roomApp } from "../../../tests/fixtures/room_app.ts";
import type { Principal } from "../identity/contract.ts";
import { APPROVALS_PAGE_DEFAULT, APPROVALS_PAGE_MAX, NOTE_CHARS_MAX } from "./contract.ts";
import { gateRoutes } from "./routes.ts";

describe("approvals over HTTP", () => {
  let house: GatesGround;
  let alice: Person;
  let bob: Person;
  let who: Principal;
  let app: ReturnType<typeof roomApp>;

  beforeEach(async () => {
    house = await openGates();
    alice = await house.human("alice");
    bob = await house.human("bob");
    who = alice.who;
    app = roomApp(() => who);
    app.route("/", gateRoutes({ gates: house.gates, identity: house.identity }));
  });
  afterEach(() => house.remove());

  async function ask(path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
    const headers = { "content-type": "application/json" };
    const response = await app.request(
      path,
      body === undefined ? {} : { method: "POST", headers, body: JSON.stringify(body) },
    );
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  it("are listed, shown, voted on and broken, as the room does it", async () => {
    const ref = await house.ask();
    expect(await ask("/v1/approvals?status=pending&limit=1")).toMatchObject({
      status: 200,
      body: { items: [{ id: ref.id }] },
    });
    const shown = await ask(`/v1/approvals/${ref.id}`);
    expect(shown.body).toEqual(JSON.parse(JSON.stringify(await house.view(ref.id))));
    const { statement_hash } = ref;
    const voted = await ask(`/v1/approvals/${ref.id}/votes`, { vote: "approve", statement_hash, note: "fine" });
    expect(voted).toMatchObject({ status: 200, body: { status: "approved", votes: [{ note: "fine" }] } });
    const next = await house.ask();
    const glass = { reason: "the site is down for everybody", statement_hash: next.statement_hash };
    const broken = await ask(`/v1/approvals/${next.id}/break-glass`, glass);
    expect(broken).toMatchObject({ status: 200, body: { status: "broken_glass" } });
    const debts = await ask("/v1/review-debts");
    const [debt] = debts.body["items"] as { id: string; until_at: number; at: number }[];
    expect(debt!.until_at - debt!.at).toBe(30 * 60_000);
    expect(await ask(`/v1/review-debts/${debt!.id}/close`, { note: "mine" })).toMatchObject({
      status: 403,
      body: { code: "REVIEW_DEBT_SELF" },
    });
    who = bob.who;
    expect(await ask(`/v1/review-debts/${debt!.id}/close`, { note: "needed" })).toMatchObject({
      status: 200,
      body: { debt: "closed" },
    });
    expect((await ask("/v1/attendance", {})).status).toBe(200);
    const keys = await ask("/v1/gates/keys");
    expect(keys.body).toEqual({ items: [{ ...house.gates.key, alg: "EdDSA" }] });
  });

  it("need their scopes", async () => {
    const ref = await house.ask();
    const { statement_hash } = ref;
    who = { ...alice.who, scopes: new Set() };
    for (const path of ["/v1/approvals", `/v1/approvals/${ref.id}`, "/v1/review-debts", "/v1/gates/keys"]) {
      expect(await ask(path), path).toMatchObject({ status: 403, body: { code: "SCOPE_MISSING" } });
    }
    for (const [path, body] of [
      [`/v1/approvals/${ref.id}/votes`, { vote: "approve", statement_hash }],
      [`/v1/approvals/${ref.id}/break-glass`, { reason: "x".repeat(20), statement_hash }],
      ["/v1/attendance", {}],
    ] as const) {
      expect(await ask(path, body), path).toMatchObject({ status: 403, body: { code: "SCOPE_MISSING" } });
    }
  });

  it("refuse what is not what it should be, before the room is asked", async () => {
    const ref = await house.ask();
    const { statement_hash } = ref;
    const vote = { vote: "approve", statement_hash };
    const bad = [
      {},
      { ...vote, vote: "skip" },
      { ...vote, statement_hash: statement_hash.toUpperCase() },
      { ...vote, webauthn: {} },
      { ...vote, note: "x".repeat(NOTE_CHARS_MAX + 1) },
      { ...vote, note: "\0" },
    ];
    for (const body of bad) expect((await ask(`/v1/approvals/${ref.id}/votes`, body)).status).toBe(400);
    const glass = { reason: "the site is down for everybody", statement_hash };
    for (const body of [
      { reason: glass.reason },
      { ...glass, minutes: "5" },
      { ...glass, reason: "x".repeat(10_000) },
    ]) {
      expect((await ask(`/v1/approvals/${ref.id}/break-glass`, body)).status).toBe(400);
    }
    for (const query of [
      "limit=0",
      `limit=${APPROVALS_PAGE_MAX + 1}`,
      "limit=1.5",
      "cursor=x",
      "status=skipped",
      "all=1",
    ]) {
      expect((await ask(`/v1/approvals?${query}`)).status, query).toBe(400);
    }
    expect((await ask(`/v1/approvals?limit=${APPROVALS_PAGE_MAX}`)).status).toBe(200);
    expect((await ask(`/v1/approvals/${"x".repeat(65)}`)).status).toBe(400);
    expect(await ask("/v1/approvals/none")).toMatchObject({ status: 404, body: { code: "APPROVAL_UNKNOWN" } });
    const debt = `/v1/review-debts/${house.ids("bgl")}/close`;
    for (const body of [{}, { note: "" }, { note: "x".repeat(NOTE_CHARS_MAX + 1) }])
      expect((await ask(debt, body)).status).toBe(400);
    expect((await ask(debt, { note: "x".repeat(NOTE_CHARS_MAX) })).status).toBe(404);
    expect((await house.view(ref.id)).status).toBe("pending");
  });

  it("come by APPROVALS_PAGE_DEFAULT when no limit is said", async () => {
    for (let n = 0; n <= APPROVALS_PAGE_DEFAULT; n++) await house.ask();
    const page = await ask("/v1/approvals");
    expect(page.body["items"]).toHaveLength(APPROVALS_PAGE_DEFAULT);
    expect(page.body["next"]).toEqual(expect.stringMatching(/^apr_/));
  });
});
