import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type AuditedLedger, openAuditedLedger } from "../../../../tests/fixtures/audited_ledger.ts";
import { ContractPolicy } from "../../policy/policy.ts";

describe("the audit of rows and values", () => {
  let ledger: AuditedLedger;

  beforeAll(async () => {
    ledger = await openAuditedLedger();
  });
  afterEach(() => ledger.putBack());
  afterAll(() => ledger.remove());

  describe("an audit names the row when", () => {
    const nothing = { index: null, entry: null } as const;
    let subject: string;
    let entry: { index: number; entry: string };
    beforeEach(async () => {
      subject = ledger.owned.owner;
      const index = await ledger.indexOf(`actors/${subject}`);
      entry = { index, entry: await ledger.idAt(index) };
    });

    it("it was edited", async () => {
      await ledger.raw.run("UPDATE actors SET name = 'somebody else' WHERE id = ?", [subject]);
      await ledger.expectFirstBad({ ...entry, check: "row", table: "actors", row: subject });
    });

    it("no entry speaks of it", async () => {
      await ledger.raw.run(
        "INSERT INTO tenants (id, slug, state, settings_json, settings_rev, created_at) VALUES ('', 's', 'active', '{}', 1, 1)",
      );
      await ledger.expectFirstBad({ ...nothing, check: "row", table: "tenants", row: "" });
    });

    it("it was deleted", async () => {
      await new ContractPolicy(ledger).apply(
        { name: "probe.yaml", text: "kind: Contract\nname: probe\nextends: scratch\n" },
        ledger.owner,
      );
      await ledger.seal();
      const row = `${ledger.owned.tenant}/probe/1`;
      const index = await ledger.indexOf(`contracts/${row}`);
      await ledger.raw.run("DELETE FROM contracts");
      await ledger.expectFirstBad({ index, entry: await ledger.idAt(index), check: "row", table: "contracts", row });
      await ledger.raw.run("DELETE FROM evidence_subjects WHERE subject = ?", [`contracts/${row}`]);
      await ledger.expectFirstBad({ index, entry: await ledger.idAt(index), check: "subject" });
    });

    it("an older state of it was put back", async () => {
      const { raw, owned, owner } = ledger;
      const policy = new ContractPolicy(ledger);
      const apply = (more: string) =>
        policy.apply({ name: "probe.yaml", text: `kind: Contract\nname: probe\nextends: scratch\n${more}` }, owner);
      await apply("");
      await apply("limits: { wall_ms: 1000 }\n");
      await ledger.seal();
      const row = `${owned.tenant}/probe/1`;
      const index = await ledger.indexOf(`contracts/${row}`);
      await raw.run("UPDATE contracts SET state = 'retired' WHERE version = 2");
      await raw.run("UPDATE contracts SET state = 'active' WHERE version = 1");
      const second = { index, entry: await ledger.idAt(index) };
      await ledger.expectFirstBad({ ...second, check: "row", table: "contracts", row });
      // And the newest entry that speaks of it is forgotten.
      await raw.run("UPDATE contracts SET state = 'active' WHERE version = 1 AND state = 'retired'");
      await raw.run("UPDATE evidence_subjects SET arrival = ? WHERE subject = ?", [
        await ledger.arrivalAt(index - 1),
        `contracts/${row}`,
      ]);
      await ledger.expectFirstBad({ ...second, check: "subject" });
    });

    it("it is said to be gone, or to belong to nobody", async () => {
      await ledger.raw.run("UPDATE evidence_subjects SET gone = 1 WHERE subject = ?", [`actors/${subject}`]);
      await ledger.expectFirstBad({ ...entry, check: "subject" });
      await ledger.raw.run("UPDATE evidence_subjects SET gone = 0 WHERE subject = ?", [`actors/${subject}`]);
      await ledger.raw.run("INSERT INTO evidence_subjects (subject, arrival, gone) VALUES ('zebras/1', 1, 0)");
      await ledger.expectFirstBad({ ...nothing, check: "subject" });
    });

    it("it holds what no room writes", async () => {
      await ledger.raw.run("UPDATE actors SET created_at = 9007199254740993 WHERE id = ?", [subject]);
      await ledger.expectFirstBad({ ...nothing, check: "unreadable" });
    });
  });

  describe("an audit names the entry of a private value when", () => {
    beforeEach(async () => {
      const keep = { class: "prompts", redaction: "keep" } as const;
      await ledger.append(1, {
        prompt: { ...keep, value: "hello" },
        result: { ...keep, value: new Uint8Array([0, 1]) },
        log: { ...keep, value: "", redaction: "drop" },
      });
      await ledger.seal();
      expect(await ledger.audit()).toMatchObject({ ok: true, size: 324, counts: { values: 2 }, first_bad: null });
    });

    it.each([
      ["value = ?", Buffer.from("hallo")],
      ["key = ?", Buffer.alloc(32)],
      ["key = ?", Buffer.alloc(33)],
      ["value = ?", null],
      ["field = ?", "other"],
      ["state = ?", "erased"],
      ["state = ?", "lost"],
    ])("its row was edited: %s", async (set, value) => {
      await ledger.raw.run(`UPDATE evidence_private SET ${set} WHERE field = 'prompt'`, [value]);
      await ledger.expectBadEntry(323, "private");
    });

    it("its row was deleted or added", async () => {
      await ledger.raw.run("DELETE FROM evidence_private WHERE field = 'log'");
      await ledger.expectBadEntry(323, "private");
    });

    it("it was erased as it should be: then all is well", async () => {
      await ledger.raw.run(
        "UPDATE evidence_private SET state = 'erased', key = NULL, value = NULL WHERE field = 'prompt'",
      );
      expect(await ledger.audit()).toMatchObject({ ok: true, counts: { values: 1 } });
    });
  });
});
