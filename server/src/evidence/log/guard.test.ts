import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import { noMetrics } from "../../kernel/telemetry.ts";
import { errors, PENDING_MAX } from "../contract.ts";
import { LogGuard } from "./guard.ts";

const BACKLOG = {
  code: "EVIDENCE_UNAVAILABLE",
  parts: { reasons: [{ code: "EVIDENCE_BACKLOG" }], retry_after_ms: 1_000 },
};

describe("the guard of the ledger", () => {
  it("takes entries until PENDING_MAX wait, and none beyond", () => {
    const guard = new LogGuard(noMetrics);
    guard.counted(PENDING_MAX - 1, guard.mark());
    expect(guard.refusal()).toBeUndefined();
    guard.appended(); // the last one that may wait
    expect(guard.refusal()).toMatchObject(BACKLOG);
    expect(guard.trouble()).toContain("EVIDENCE_BACKLOG");
  });

  it("takes entries again when some were sealed", () => {
    const guard = new LogGuard(noMetrics);
    guard.counted(PENDING_MAX, guard.mark());
    expect(guard.refusal()).toMatchObject(BACKLOG);
    guard.counted(PENDING_MAX - 1, guard.mark());
    expect(guard.refusal()).toBeUndefined();
    expect(guard.trouble()).toBeUndefined();
  });

  it("counts what came after a look begun, and forgets what the look has seen", () => {
    const guard = new LogGuard(noMetrics);
    for (let i = 0; i < 10; i++) guard.appended();
    const mark = guard.mark();
    guard.appended();
    guard.counted(PENDING_MAX - 2, mark);
    expect(guard.refusal()).toBeUndefined();
    guard.appended();
    expect(guard.refusal()).toMatchObject(BACKLOG);
  });

  it("knows what was appended while others were sealed", () => {
    const guard = new LogGuard(noMetrics);
    guard.counted(PENDING_MAX - 1, guard.mark());
    for (let i = 0; i < 10; i++) guard.appended();
    guard.sealed(9);
    expect(guard.refusal()).toMatchObject(BACKLOG);
    guard.sealed(1);
    expect(guard.refusal()).toBeUndefined();
  });

  it("keeps the first fault, and says it as the reason", () => {
    const guard = new LogGuard(noMetrics);
    guard.stop(new GantryError(errors.FORKED, { detail: "It is forked." }));
    guard.stop(new GantryError(errors.ROLLBACK, { detail: "It is old." }));
    expect(guard.refusal()).toMatchObject({
      code: "EVIDENCE_UNAVAILABLE",
      parts: { reasons: [{ code: "EVIDENCE_FORKED", detail: "It is forked." }] },
    });
    guard.clear();
    expect(guard.refusal()).toBeUndefined();
  });
});

describe("a ledger whose entries nobody seals", () => {
  let ground: Ground;
  beforeEach(async () => {
    // Nothing is sealed or counted behind the test's back: no time passes by itself.
    ground = await openGround({ sealing: true, clock: new VirtualClock() });
    await ground.seal();
  });
  afterEach(() => ground.remove());

  it("takes the last entry that may wait and refuses the next in its unit, which leaves nothing behind", async () => {
    const { guard, storage, ledger, owned, identity, owner } = ground;
    const data = { token: "tok_x", actor: owned.owner, cause: "asked" };
    const append = () =>
      storage.write((tx) => ledger.append(tx, { kind: "token.revoked", tenant: owned.tenant, actor: [], data }));
    guard.counted(PENDING_MAX - 1, guard.mark());
    await append();
    await expect(append()).rejects.toMatchObject(BACKLOG);
    const tokens = await storage.all("SELECT id FROM tokens", []);
    // As it reaches whoever asks a room that appends.
    await expect(identity.mintToken(owner, { scopes: ["run:read"] })).rejects.toMatchObject(BACKLOG);
    expect(await storage.all("SELECT id FROM tokens", [])).toEqual(tokens);
    expect((await ledger.list({ limit: 10 })).items).toHaveLength(6);
    await ground.seal();
    await append();
  });
});
