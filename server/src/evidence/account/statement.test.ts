import { createHash, createPublicKey, verify } from "node:crypto";
import { chmod, readFile, rm, stat, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { plain_facts, small_limits } from "../../../../tests/fixtures/run_facts.ts";
import { kinds } from "../../intent/kinds.ts";
import type { TenantId } from "../../kernel/ids.ts";
import { agreementsOf } from "../../storage/agreements.ts";
import { STATEMENT_ENTRIES_MAX } from "../contract.ts";
import { RunStatements } from "./statement.ts";
import { STATEMENT_KEY_FILE } from "./statement_key.ts";

let ground: Ground;
let statements: RunStatements;

beforeAll(async () => {
  ground = await openGround({ kinds, sealing: true });
  statements = statementsOf();
});
afterAll(() => ground.remove());

const statementsOf = () => new RunStatements({ ...ground, agreements: agreementsOf(ground.storage) });
const hash = (text: string): string => createHash("sha256").update(text).digest("hex");
const limits = small_limits;
const code_facts = { ...plain_facts, dropped: 0 };
const chain = [
  { actor: "act_1", kind: "human" as const },
  { actor: "act_2", kind: "agent" as const },
];

interface Parts {
  tenant: TenantId;
  run: string;
}
const common = ({ tenant, run }: Parts) => ({
  tenant,
  actor: chain,
  refs: [run],
  snapshot: "snp_1",
  contract: { name: "scratch", version: 1 },
});
const admit = (parts: Parts, attempt = 1) =>
  ground.storage.write((tx) =>
    ground.ledger.append(tx, {
      ...common(parts),
      kind: "run.admitted",
      decision: { verdict: "allow", codes: [] },
      data: {
        run: parts.run,
        attempt,
        code_hash: hash("code"),
        input_hash: hash("input"),
        limits,
        lane: "interactive",
        isolation: "process",
        deadline_at: 5,
        code_facts,
      },
    }),
  );
const end = (parts: Parts, more: Record<string, unknown> = { result_hash: hash("result"), cpu_ms: 3 }) =>
  ground.storage.write((tx) =>
    ground.ledger.append(tx, {
      ...common(parts),
      kind: "run.ended",
      data: { run: parts.run, attempt: 1, termination: "completed", code_hash: hash("code"), ...more },
    }),
  );
const fresh = (): Parts => ({ tenant: ground.ids("ten"), run: ground.ids("run") });

/** Verifies by the words of the DSSE protocol. */
async function open({ tenant, run }: Parts) {
  const envelope = await statements.statement(run, tenant);
  const { public_key, keyid } = await statements.key();
  const body = Buffer.from(envelope.payload, "base64");
  const type = envelope.payloadType;
  const message = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${body.length} `), body]);
  const [signature] = envelope.signatures;
  expect(verify(null, message, createPublicKey(public_key), Buffer.from(signature?.sig ?? "", "base64"))).toBe(true);
  expect(signature?.keyid).toBe(keyid);
  return { envelope, statement: JSON.parse(body.toString()) };
}

describe("the statement of an ended run", () => {
  it("says what the ledger says, and names the entries with their places", async () => {
    const parts = fresh();
    const ids = [await admit(parts), await end(parts)];
    const { envelope, statement } = await open(parts);
    expect(envelope.payloadType).toBe("application/vnd.in-toto+json");
    expect(statement).toMatchObject({
      _type: "https://in-toto.io/Statement/v1",
      subject: [
        { name: "code", digest: { sha256: hash("code") } },
        { name: "input", digest: { sha256: hash("input") } },
        { name: "result", digest: { sha256: hash("result") } },
      ],
      predicateType: "urn:gantry:run:v1",
      predicate: {
        run: parts.run,
        tenant: parts.tenant,
        chain,
        contract: { name: "scratch", version: 1 },
        snapshot: "snp_1",
        decision: { verdict: "allow", codes: [] },
        termination: "completed",
        usage: { cpu_ms: 3 },
        limits,
        log: (await ground.log.checkpoint()).origin,
      },
    });
    const sealed = await Promise.all(ids.map((id) => ground.ledger.get(id, parts.tenant)));
    expect(statement.predicate.entries).toEqual(
      sealed.map(({ id, kind, at, index, leaf }) => ({ id, kind, at, index, leaf })),
    );
  });

  it("is the same bytes as long as the ledger says the same of the run", async () => {
    const parts = fresh();
    await admit(parts);
    await end(parts);
    const first = await statements.statement(parts.run, parts.tenant);
    await end(fresh());
    await ground.seal();
    expect(await statements.statement(parts.run, parts.tenant)).toEqual(first);
    expect(await statementsOf().statement(parts.run, parts.tenant)).toEqual(first);
  });

  it("of a run that got no slot has what there is", async () => {
    const parts = fresh();
    await end(parts, { termination: "denied", code: "CONTRACT_LIMIT" });
    const { statement } = await open(parts);
    expect(statement.subject).toEqual([{ name: "code", digest: { sha256: hash("code") } }]);
    expect(statement.predicate).toMatchObject({ termination: "denied", code: "CONTRACT_LIMIT", usage: {} });
  });

  it("names STATEMENT_ENTRIES_MAX entries of a kind, and not one more", async () => {
    const parts = fresh();
    for (let n = 0; n < STATEMENT_ENTRIES_MAX; n += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, i) => admit(parts, n + i + 1)));
    }
    await end(parts);
    expect((await open(parts)).statement.predicate.entries).toHaveLength(STATEMENT_ENTRIES_MAX + 1);
    await admit(parts, STATEMENT_ENTRIES_MAX + 1);
    await expect(open(parts)).rejects.toMatchObject({ code: "EVIDENCE_TOO_MANY" });
  });
});

describe("there is no statement", () => {
  it("of a run that goes on, of none, and of another tenant's", async () => {
    const parts = fresh();
    await admit(parts);
    await expect(open(parts)).rejects.toMatchObject({ code: "EVIDENCE_NOT_SEALED" });
    await end(parts);
    await expect(open({ ...fresh(), run: parts.run })).rejects.toMatchObject({ code: "EVIDENCE_UNKNOWN" });
    await expect(open(fresh())).rejects.toMatchObject({ code: "EVIDENCE_UNKNOWN" });
  });
});

describe("the key of statements", () => {
  it("is not the log's, is closed to others, and is used as long as it is the one", async () => {
    const path = `${ground.directory}/${STATEMENT_KEY_FILE}`;
    const { keyid } = await statements.key();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const pem = await readFile(path, "utf8");
    expect(pem).not.toBe(await readFile(`${ground.directory}/keys/log-ed25519.pem`, "utf8"));

    await chmod(path, 0o644);
    await expect(statementsOf().key()).rejects.toMatchObject({ code: "STORAGE_FILE_MODE" });
    await rm(path);
    await expect(statementsOf().key()).rejects.toMatchObject({ code: "EVIDENCE_KEY" });
    const other = await openGround();
    try {
      await new RunStatements({ ...other, agreements: agreementsOf(other.storage) }).key();
      const foreign = await readFile(`${other.directory}/${STATEMENT_KEY_FILE}`);
      await writeFile(path, foreign, { mode: 0o600 });
    } finally {
      await other.remove();
    }
    const late = statementsOf();
    await expect(late.key()).rejects.toMatchObject({ code: "EVIDENCE_KEY" });
    await writeFile(path, "no key", { mode: 0o600 });
    await expect(late.key()).rejects.toMatchObject({ code: "EVIDENCE_KEY" });
    await writeFile(path, pem, { mode: 0o600 });
    expect((await late.key()).keyid).toBe(keyid);
  });
});
