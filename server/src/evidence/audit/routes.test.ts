import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { openSealedLedger, type SealedLedger } from "../../../../tests/fixtures/sealed_ledger.ts";
import { createApp } from "../../http/app.ts";
import { createPrometheus } from "../../http/metrics.ts";
import { GantryError } from "../../kernel/errors.ts";
import { silentLogger } from "../../kernel/log.ts";
import { noMetrics } from "../../kernel/telemetry.ts";
import { errors } from "../contract.ts";
import type { AuditQuery, AuditReport, Audits } from "./report.ts";
import { auditRoutes } from "./routes.ts";

let ledger: SealedLedger;
let note: string;
let audits: Audits;

beforeAll(async () => {
  ledger = await openSealedLedger();
  await ledger.append(20);
  note = await ledger.seal();
});
afterAll(() => ledger.remove());
beforeEach(async () => {
  audits = await ledger.auditor();
});

async function post(body: object, token = ledger.secret): Promise<Response> {
  const app = createApp({
    ...ledger,
    routes: [auditRoutes({ audits, identity: ledger.identity })],
    checks: {},
    prometheus: createPrometheus(),
    metrics: noMetrics,
    log: silentLogger,
    version: "0.0.0",
  });
  return app.request("/v1/evidence/audits", {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function linesOf(answer: Response): Promise<Record<string, unknown>[]> {
  const text = await answer.text();
  expect(text.endsWith("\n")).toBe(true);
  return text
    .slice(0, -1)
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** An audit that goes on until it is told otherwise. */
class Held implements Audits {
  query: AuditQuery = {};
  end: (report: AuditReport) => void = () => {};
  fail: (error: unknown) => void = () => {};
  audit(query: AuditQuery): Promise<AuditReport> {
    this.query = query;
    query.progress?.({ part: "entries", done: 0, total: 10 });
    return new Promise((resolve, reject) => {
      this.end = resolve;
      this.fail = reject;
      query.signal?.addEventListener("abort", () => reject(query.signal?.reason));
    });
  }
}

describe("POST /v1/evidence/audits", () => {
  it("answers in NDJSON: how far it has come, then the result", async () => {
    const answer = await post({ checkpoint: note });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("application/x-ndjson");
    const lines = await linesOf(answer);
    expect(lines[0]).toEqual({ progress: { part: "entries", done: 0, total: 25 } });
    expect(lines.at(-1)).toMatchObject({ result: { ok: true, size: 25, compared: { saved: 25 }, first_bad: null } });
  });

  it("refuses before it begins, with a status of its own", async () => {
    const bad = await post({ checkpoint: "nonsense" });
    expect({ status: bad.status, body: await bad.json() }).toMatchObject({
      status: 400,
      body: { code: errors.BAD_NOTE.code },
    });
    expect((await post({ more: 1 })).status).toBe(400);
    // The one that goes on begins to read only when the other has been refused.
    let go = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const { snapshot } = ledger.storage;
    ledger.storage.snapshot = async (read) => {
      await gate;
      return snapshot.call(ledger.storage, read) as never;
    };
    const running = audits.audit({});
    const busy = await post({}).finally(() => {
      ledger.storage.snapshot = snapshot;
      go();
    });
    expect({ status: busy.status, body: await busy.json() }).toMatchObject({
      status: 429,
      body: { code: errors.AUDITS.code, retry_after_ms: expect.any(Number) },
    });
    await running;
  });

  it("is for evidence:audit alone: entries cross tenants", async () => {
    const { secret } = await ledger.identity.mintToken(ledger.owner, { scopes: ["evidence:read"] });
    expect((await post({}, secret)).status).toBe(403);
  });

  it("ends when the caller leaves", async () => {
    const held = new Held();
    audits = held;
    const answer = await post({});
    await answer.body?.cancel();
    await eventually(() => held.query.signal?.aborted === true);
  });

  it("says at the end when the store could not be read to its end, and nothing of why to a stranger", async () => {
    for (const [error, said] of [
      [new GantryError(errors.UNAVAILABLE, { detail: "Gone." }), { code: errors.UNAVAILABLE.code, detail: "Gone." }],
      [new Error("secret"), { title: "The audit failed." }],
    ] as const) {
      const held = new Held();
      audits = held;
      const answer = await post({});
      held.fail(error);
      const lines = await linesOf(answer);
      expect(lines.at(-1)).toMatchObject({ error: said });
      expect(JSON.stringify(lines)).not.toContain("secret");
    }
  });
});
