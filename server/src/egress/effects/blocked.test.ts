import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CONTRACT, viewOf } from "../../../../tests/fixtures/effect_contract.ts";
import { callOf, type EffectsGround, HOST, openEffects, sending } from "../../../../tests/fixtures/effects_ground.ts";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { gate } from "../../../../tests/fixtures/policy_contracts.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import { isGantryError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import { silentLogger } from "../../kernel/log.ts";
import type { Contract } from "../../policy/contract.ts";
import { BLOCKED_BODY_BYTES_MAX, BLOCKED_CALLS_MAX, BLOCKED_MS_MAX, type EgressIdentity } from "../contract.ts";
import type { HeaderList } from "../parts.ts";
import { BlockedCalls } from "./blocked.ts";
import type { Resend, ResentCall } from "./blocked_parts.ts";
import { effectKeys } from "./seal.ts";

const NOTHING: Contract = { ...CONTRACT, egress: [] };
const LEASE = `gl_${"0".repeat(38)}`;

let ground: EffectsGround;
let clock: VirtualClock;
let blocked: BlockedCalls;
/** The contract as it is now. */
let current: Contract;
let resent: ResentCall[];
let answer: Awaited<ReturnType<Resend>>;

beforeEach(async () => {
  clock = new VirtualClock();
  ground = await openEffects({ clock });
  current = CONTRACT;
  resent = [];
  answer = { status: 201 };
  blocked = new BlockedCalls({
    ...ground,
    log: silentLogger,
    keys: effectKeys(ground.state_key),
    policy: { open: async () => viewOf(current, 2) },
    resend: async (_who, call) => {
      resent.push(call);
      return answer;
    },
  });
});
afterEach(async () => {
  await ground.storage.timers.stop();
  await ground.remove();
});

const stopped = (
  who: EgressIdentity,
  more: { body?: Buffer; headers?: HeaderList; code?: string; url?: string } = {},
) => {
  const { url = `https://${HOST}/v1/issues?q=canary-query`, code = "EGRESS_METHOD" } = more;
  const { body = Buffer.from("canary-body"), headers = [["content-type", "text/canary"]] } = more;
  const { target, method } = callOf(who, url);
  return { who, code, target, method, headers: headers as HeaderList, body };
};
const keep = async (more: Parameters<typeof stopped>[1] = {}, who = ground.who({ view: viewOf(NOTHING) })) => {
  await blocked.keep(stopped(who, more));
  return (await blocked.list(ground.owner))[0]!;
};
const kindsOf = async (ref: string) => (await ground.told(ref)).map(({ kind, data }) => [kind, data["state"]]);

describe("a call that policy stopped", () => {
  it("is kept with all that it takes to send it, and is shown without it", async () => {
    const who = ground.who({ view: viewOf(NOTHING) });
    const kept = await keep({}, who);
    expect(kept).toEqual({
      ...{ id: expect.stringMatching(/^blk_/), subject: who.subject, contract: { name: "acme", version: 1 } },
      ...{ code: "EGRESS_METHOD", method: "POST", url: `https://${HOST}/v1/issues?q=canary-query` },
      ...{ body_bytes: 11, state: "waiting", status: null },
      ...{ created_at: clock.now(), expires_at: clock.now() + BLOCKED_MS_MAX },
    });
    expect(await blocked.show(ground.owner, kept.id)).toEqual(kept);
    expect(await ground.told(kept.id)).toEqual([
      {
        kind: "call.blocked",
        data: { blocked: kept.id, subject: who.subject, code: "EGRESS_METHOD", host: HOST, method: "POST" },
      },
    ]);
  });

  it("stands in no row or entry in clear", async () => {
    const { id } = await keep();
    const rows = await ground.storage.all("SELECT * FROM egress_blocked", []);
    const bytes = rows.flatMap((row) =>
      Object.values(row).map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : value)),
    );
    const kept = JSON.stringify([bytes, await ground.told(id)]);
    expect(kept).toContain(id);
    expect(kept).not.toContain("canary");
  });

  it("is kept without credentials of the run's, and with which headers had a lease", async () => {
    const basic = Buffer.from(`me:${LEASE}`).toString("base64");
    const { id } = await keep({
      headers: [
        ["Accept", "a/b"],
        ["Idempotency-Key", "order-7"],
        ["Authorization", `Basic ${basic}`],
        ["Cookie", "a=1"],
        ["X-Api-Key", "secret"],
        ["X-Vault-Token", "secret"],
        ["X-Note", `see ${LEASE}`],
        ["X-Own", "gtr_secret"],
        ["Gantry-Redirect", "follow"],
        ["Content-Length", "11"],
      ],
    });
    expect(await blocked.content(ground.owner, id)).toEqual({
      headers: [
        ["Accept", "a/b"],
        ["Idempotency-Key", "order-7"],
      ],
      leased: ["authorization", "x-note"],
      body: Buffer.from("canary-body"),
    });
  });

  it("is never kept when it carries what looks like a secret or one of our tokens, or comes too late", async () => {
    for (const code of ["EGRESS_DLP", "EGRESS_OWN_TOKEN", "EGRESS_FENCED"])
      await blocked.keep(stopped(ground.who(), { code }));
    expect(await blocked.list(ground.owner)).toEqual([]);
  });

  it(`has a body of at most ${BLOCKED_BODY_BYTES_MAX} bytes`, async () => {
    await blocked.keep(stopped(ground.who(), { body: Buffer.alloc(BLOCKED_BODY_BYTES_MAX + 1) }));
    expect(await blocked.list(ground.owner)).toEqual([]);
    const { id, body_bytes } = await keep({ body: Buffer.alloc(BLOCKED_BODY_BYTES_MAX, 7) });
    expect(body_bytes).toBe(BLOCKED_BODY_BYTES_MAX);
    expect((await blocked.content(ground.owner, id)).body.equals(Buffer.alloc(BLOCKED_BODY_BYTES_MAX, 7))).toBe(true);
  });

  it("is kept once for all attempts, and each of several equal ones of an attempt is one", async () => {
    const who = ground.who();
    for (const epoch of [1, 2]) {
      const attempt = { ...who, epoch };
      for (let n = 0; n < 2; n++) await blocked.keep(stopped(attempt));
    }
    const rows = await ground.storage.all("SELECT key FROM egress_blocked", []);
    expect(new Set(rows.map(({ key }) => key)).size).toBe(2);
    expect(rows).toHaveLength(2);
  });

  it(`is one of at most ${BLOCKED_CALLS_MAX} that wait: a newer one is not kept`, async () => {
    const one = await keep();
    const [columns, values] = [
      "subject, contract, contract_version, code, method, host",
      "subject, contract, 1, code, method, host",
    ];
    await ground.storage.write((tx) => {
      for (let n = 1; n < BLOCKED_CALLS_MAX; n++) {
        tx.run(
          `INSERT INTO egress_blocked (id, tenant_id, scope, key, ${columns}, target_sealed, body_bytes, state, created_at,
             expires_at)
           SELECT ?, tenant_id, scope, ?, ${values}, target_sealed, 0, ?, 1, 1 FROM egress_blocked WHERE id = ?`,
          [`blk_${n}`, `k${n}`, n % 2 === 0 ? "waiting" : "failed", one.id],
        );
      }
    });
    const newest = async () => (await ground.storage.get("SELECT count(*) AS n FROM egress_blocked", []))?.["n"];
    await blocked.keep(stopped(ground.who()));
    expect(await newest()).toBe(BLOCKED_CALLS_MAX);
    await blocked.drop(ground.owner, one.id);
    await blocked.keep(stopped(ground.who()));
    expect(await newest()).toBe(BLOCKED_CALLS_MAX + 1);
  });

  it("of another tenant is as one that is not there", async () => {
    const { id } = await keep();
    const stranger = { ...ground.owner, tenant: ground.ids("ten") as TenantId };
    expect(await blocked.list(stranger)).toEqual([]);
    for (const each of [id, "blk_nobody"]) {
      for (const ask of ["show", "retry", "drop", "content"] as const) {
        await expect(blocked[ask](stranger, each)).rejects.toMatchObject({ code: "EGRESS_BLOCKED_UNKNOWN" });
      }
    }
  });
});

describe("a person", () => {
  it("lets it go on under the contract as it is now, as themselves, and once", async () => {
    const who = ground.who({ view: viewOf(NOTHING) });
    const { id } = await keep({}, who);
    const view = await blocked.retry(ground.owner, id);
    expect(view).toMatchObject({ id, state: "sent", status: 201 });
    expect(resent).toHaveLength(1);
    const [call] = resent;
    expect(call).toMatchObject({ id, subject: who.subject, scope: who.scope, method: "POST" });
    expect(call?.view.ref.version).toBe(2);
    expect(call?.body.toString()).toBe("canary-body");
    await expect(blocked.retry(ground.owner, id)).rejects.toMatchObject({ code: "EGRESS_BLOCKED_SETTLED" });
    await expect(blocked.drop(ground.owner, id)).rejects.toMatchObject({ code: "EGRESS_BLOCKED_SETTLED" });
    await expect(blocked.content(ground.owner, id)).rejects.toMatchObject({ code: "EGRESS_BLOCKED_SETTLED" });
    expect(await kindsOf(id)).toEqual([
      ["call.blocked", undefined],
      ["call.retried", "sent"],
    ]);
    const entries = await ground.ledger.list({ tenant: who.tenant, ref: id, limit: 10 });
    expect(entries.items[1]?.actor.map(({ actor }) => actor)).toEqual([ground.owner.actor]);
  });

  it("is refused while the contract grants it not, or asks people, and the call waits on", async () => {
    const { id } = await keep();
    const refused: [Contract, string][] = [
      [NOTHING, "POLICY_NO_PERMIT"],
      [{ ...CONTRACT, class: "read-only" }, "POLICY_CLASS"],
      [{ ...CONTRACT, gates: [gate("people", "*")] }, "POLICY_FORBIDDEN"],
    ];
    for (const [contract, code] of refused) {
      current = contract;
      await expect(blocked.retry(ground.owner, id)).rejects.toMatchObject({ code });
    }
    expect(resent).toEqual([]);
    expect((await blocked.show(ground.owner, id)).state).toBe("waiting");
    const error = await blocked.retry(ground.owner, id).catch((refused: unknown) => refused);
    expect(error).toMatchObject({
      parts: {
        detail: expect.stringContaining("Make the call again in a run under the contract as it is now"),
        next_steps: [{ command: `gantry egress blocked drop ${id}` }],
      },
    });
  });

  it("may try again what got no answer, or one that says that it was not done, under the same key", async () => {
    const { id } = await keep();
    for (const failed of [{ code: "EGRESS_UPSTREAM" }, { status: 503 }, { status: 429 }] as const) {
      answer = failed;
      const status = "status" in failed ? failed.status : null;
      expect(await blocked.retry(ground.owner, id)).toMatchObject({ state: "failed", status });
    }
    answer = { status: 404 };
    expect(await blocked.retry(ground.owner, id)).toMatchObject({ state: "sent", status: 404 });
    expect(new Set(resent.map(({ key }) => key)).size).toBe(1);
  });

  it("cannot send it twice at the same moment", async () => {
    const { id } = await keep();
    const both = await Promise.allSettled([blocked.retry(ground.owner, id), blocked.retry(ground.owner, id)]);
    const codes = both.map((each) =>
      each.status === "rejected" && isGantryError(each.reason) ? each.reason.code : each.status,
    );
    expect(codes.sort()).toEqual(["EGRESS_BLOCKED_SETTLED", "fulfilled"]);
    expect(resent).toHaveLength(1);
  });

  it("drops it, and it is gone but for its name", async () => {
    const { id } = await keep();
    await blocked.drop(ground.owner, id);
    expect((await blocked.show(ground.owner, id)).state).toBe("dropped");
    expect(await kindsOf(id)).toEqual([
      ["call.blocked", undefined],
      ["call.dropped", undefined],
    ]);
    const row = await ground.storage.get("SELECT head_sealed, body_sealed FROM egress_blocked", []);
    expect(row).toEqual({ head_sealed: null, body_sealed: null });
  });
});

describe("the effect of a retry", () => {
  it("has the key that the run's own call has: what a later attempt did is not done again", async () => {
    const who = ground.who({ view: viewOf(NOTHING) });
    const { id } = await keep({}, who);
    const later = { ...who, epoch: 2, view: viewOf() };
    const call = callOf(later, `https://${HOST}/v1/issues?q=canary-query`);
    const { createHash } = await import("node:crypto");
    const body_digest = createHash("sha256").update("canary-body").digest("hex");
    const effects = ground.book.open(later);
    const { effect } = sending(await effects.intend({ call, body_digest, needs_approval: false }));
    await blocked.retry(ground.owner, id);
    expect(resent[0]?.key).toBe(effect.key);
    const door = ground.book.open(ground.who({ subject: id, scope: who.scope, root: id }), { key: effect.key });
    const intent = { call, body_digest: "other", needs_approval: false };
    await expect(door.intend(intent)).rejects.toMatchObject({ code: "EGRESS_EFFECT_UNKNOWN" });
    effects.settle(effect, { state: "done", status: 201 });
    await effects.flush();
    await expect(door.intend(intent)).rejects.toMatchObject({ code: "EGRESS_EFFECT_DONE" });
  });

  it("that was done before counts as sent", async () => {
    const { id } = await keep();
    answer = { code: "EGRESS_EFFECT_DONE" };
    expect(await blocked.retry(ground.owner, id)).toMatchObject({ state: "sent", status: null });
  });
});

describe("a call that nobody decided about", () => {
  it(`expires after ${BLOCKED_MS_MAX} ms, and is forgotten after as long again`, async () => {
    const { id } = await keep();
    ground.storage.timers.start(() => {});
    const state = async () => (await blocked.list(ground.owner))[0]?.state;
    clock.advance(BLOCKED_MS_MAX - 1);
    expect(await state()).toBe("waiting");
    await eventually(async () => {
      clock.advance(1_000);
      return (await state()) === "expired";
    });
    await expect(blocked.retry(ground.owner, id)).rejects.toMatchObject({ code: "EGRESS_BLOCKED_SETTLED" });
    expect((await kindsOf(id)).at(-1)).toEqual(["call.dropped", undefined]);
    clock.advance(BLOCKED_MS_MAX);
    await eventually(async () => {
      clock.advance(1_000);
      return (await state()) === undefined;
    });
  });
});
