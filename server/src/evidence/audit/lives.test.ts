import { expect, it } from "vitest";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { rawStore } from "../../../../tests/fixtures/tamper.ts";
import { audited_tables as identity_tables } from "../../identity/store.ts";
import { ContractPolicy } from "../../policy/policy.ts";
import { audited_tables as policy_tables } from "../../policy/store.ts";
import { KeyRotation } from "../log/rotation.ts";
import { loadStateKey } from "../state_key.ts";
import { Auditor } from "./audit.ts";
import type { AuditQuery, AuditReport } from "./report.ts";

const tables = [...identity_tables, ...policy_tables];

async function audit(ground: Ground, query: AuditQuery = {}): Promise<AuditReport> {
  const state_key = await loadStateKey(ground.files, ground.random);
  return new Auditor({ ...ground, state_key, tables }).audit(query);
}

async function append({ ledger, owned, storage }: Ground, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 100) {
    await storage.write((tx) => {
      for (let i = 0; i < Math.min(left, 100); i++) {
        const data = { token: `tok_${left}`, actor: owned.owner, cause: "asked" };
        ledger.append(tx, { kind: "token.revoked", tenant: owned.tenant, actor: [], refs: [`tok_${i}`], data });
      }
    });
  }
}

it("a ledger that the sealer has sealed passes, while it grows, after restarts and with another key", async () => {
  let ground = await openGround({ sealing: true });
  try {
    const notes: string[] = [];
    for (let life = 0; life < 3; life++) {
      await append(ground, 900);
      const policy = new ContractPolicy(ground);
      const text = `kind: Contract\nname: probe\nextends: scratch\nlimits: { wall_ms: ${1_000 - life} }\n`;
      await policy.apply({ name: "probe.yaml", text }, ground.owner);
      const [, report] = await Promise.all([append(ground, 500), audit(ground)]);
      expect(report).toMatchObject({ ok: true, first_bad: null });
      const by = { tenant: ground.owned.tenant, actor: [] };
      await new KeyRotation(ground).rotate(by);
      notes.push(await ground.seal());
      const { directory } = ground;
      await ground.stop();
      ground = await openGround({ sealing: true, directory });
    }
    for (const saved of notes) expect(await audit(ground, { saved })).toMatchObject({ ok: true, first_bad: null });
    const whole = await audit(ground);
    expect(whole.size).toBeGreaterThan(3 * 1_400);
    expect(whole.counts.checkpoints).toBeGreaterThan(3);

    // The note that both keys have signed says so: without the new one's line it is not what was released.
    const raw = rawStore(ground.directory);
    const [rotated] = await raw.rows(
      "SELECT to_size FROM evidence_keys WHERE to_size IS NOT NULL ORDER BY to_size LIMIT 1",
    );
    const size = Number(rotated?.["to_size"]);
    const [row] = await raw.rows(`SELECT note FROM evidence_checkpoints WHERE size = ${size}`);
    const note = String(row?.["note"]);
    expect(note.split("\n")).toHaveLength(7);
    await raw.run("UPDATE evidence_checkpoints SET note = ? WHERE size = ?", [
      `${note.split("\n").slice(0, 5).join("\n")}\n`,
      size,
    ]);
    expect(await audit(ground)).toMatchObject({ ok: false, first_bad: { check: "signature", index: size - 1 } });
  } finally {
    await ground.remove();
  }
}, 60_000);
