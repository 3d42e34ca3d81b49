import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { stateDigest } from "../../evidence/entry.ts";
import type { Principal } from "../../identity/contract.ts";
import { systemRandom } from "../../kernel/random.ts";
import { SECRET_BYTES_MAX, SECRETS_PER_TENANT_MAX } from "../contract.ts";
import { kinds } from "../kinds.ts";
import { openValue, sealValue, secretKeys } from "./key_wrap.ts";
import { LeaseBook } from "./leases.ts";
import { Secrets } from "./secret_list.ts";
import { audited_tables, migrations, selectSecret } from "./store.ts";

let ground: Ground;
let owner: Principal;
let secrets: Secrets;

function secretsWith(state_key: Uint8Array): Secrets {
  const keys = secretKeys(state_key);
  return new Secrets({ ...ground, keys, leases: new LeaseBook({ ...ground, keys }) });
}

beforeEach(async () => {
  ground = await openGround({ migrations, kinds });
  owner = ground.owner;
  secrets = secretsWith(ground.state_key);
});
afterEach(() => ground.remove());

const set = (name: string, value: string | Uint8Array = "value", who = owner) =>
  secrets.set(who, name, Buffer.from(value as string));
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "none",
    (error: { code: string }) => error.code,
  );

describe("a secret", () => {
  it("is set, set anew, listed without its value, and removed", async () => {
    const view = { name: "a-key", version: 1, created_at: expect.any(Number), actor: owner.actor };
    expect(await set("a-key", "one")).toEqual(view);
    expect(await set("a-key", "two")).toEqual({ ...view, version: 2 });
    await set("b-key");
    expect(await secrets.list(owner)).toEqual([
      { ...view, version: 2 },
      { ...view, name: "b-key" },
    ]);
    await secrets.remove(owner, "a-key");
    expect((await secrets.list(owner)).map(({ name }) => name)).toEqual(["b-key"]);
    expect(await codeOf(secrets.remove(owner, "a-key"))).toBe("SECRETS_UNKNOWN");
    const { items } = await ground.ledger.list({ tenant: owner.tenant, limit: 200 });
    const said = items
      .filter(({ kind }) => kind.startsWith("secret."))
      .map(({ kind, data, actor }) => ({ kind, data, actor }));
    const actor = [{ actor: owner.actor, kind: "human" }];
    expect(said).toEqual([
      { kind: "secret.set", data: { secret: "a-key", version: 1 }, actor },
      { kind: "secret.set", data: { secret: "a-key", version: 2 }, actor },
      { kind: "secret.set", data: { secret: "b-key", version: 1 }, actor },
      { kind: "secret.removed", data: { secret: "a-key", version: 2 }, actor },
    ]);
  });

  it("is a row that is as its newest entry in the ledger says", async () => {
    await set("a-key");
    await set("a-key", "again");
    const [{ table, columnsOf } = audited_tables[0]!] = audited_tables;
    const rows = await ground.storage.all("SELECT * FROM egress_secrets", []);
    expect(rows).toHaveLength(1);
    const subject = `${table}/${rows[0]!["id"]}`;
    const newest = await ground.storage.get(
      `SELECT e.body FROM evidence_subjects s JOIN evidence_entries e ON e.arrival = s.arrival WHERE s.subject = ?
       ORDER BY e.arrival DESC LIMIT 1`,
      [subject],
    );
    const body = JSON.parse(Buffer.from(newest?.["body"] as Uint8Array).toString("utf8"));
    expect(body.state[subject]).toBe(stateDigest(ground.state_key, table, String(rows[0]!["id"]), columnsOf(rows[0]!)));
  });

  it("belongs to its tenant", async () => {
    const tenant = ground.ids("ten");
    await ground.storage.write((tx) => tx.run("INSERT INTO tenants VALUES (?, 'b', 'active', '{}', 1, 1)", [tenant]));
    await set("a-key");
    const other = { ...owner, tenant };
    expect(await secrets.list(other)).toEqual([]);
    expect(await codeOf(secrets.remove(other, "a-key"))).toBe("SECRETS_UNKNOWN");
    expect((await set("a-key", "theirs", other)).version).toBe(1);
    expect(await secrets.list(owner)).toHaveLength(1);
  });

  it("is set by two at once as two versions", async () => {
    const views = await Promise.all([set("a-key", "one"), set("a-key", "two"), set("a-key", "three")]);
    expect(views.map(({ version }) => version).sort()).toEqual([1, 2, 3]);
  });

  it(`has 1 to ${SECRET_BYTES_MAX} bytes`, async () => {
    expect((await set("a-key", Buffer.alloc(SECRET_BYTES_MAX, 0x61))).version).toBe(1);
    expect(await codeOf(set("a-key", Buffer.alloc(SECRET_BYTES_MAX + 1, 0x61)))).toBe("SECRETS_SIZE");
    expect(await codeOf(set("a-key", ""))).toBe("SECRETS_SIZE");
  });

  it.each([
    "s3\ncr3t",
    "s3cr3t\n",
    "\rs3cr3t",
    "s3cr3t\0",
    "\x1bs3cr3t",
    "s3cr3t\x7f",
    " s3cr3t",
    "s3cr3t ",
    "s3cr3t\t",
  ])("is no value that a header cannot hold: %j", async (value) => {
    const error = await set("a-key", value).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "SECRETS_VALUE" });
    expect(JSON.stringify([error, String(error)])).not.toContain("cr3t");
  });

  it("may have blanks and tabs within, and any byte above", async () => {
    for (const value of ["a b", "a\tb", Buffer.from([0x80, 0xff, 0xc3])]) await set("a-key", value);
  });

  it("has a name that a contract can name", async () => {
    await set(`k${"x".repeat(62)}`);
    for (const name of [`k${"x".repeat(63)}`, "", "A", "1a", "a_b", "a.b", "-a", "a\n", "ä"]) {
      expect(await codeOf(set(name)), name).toBe("SECRETS_NAME");
    }
  });

  it("leaves nothing of its value with whoever brought it, whatever came of it", async () => {
    for (const name of ["a-key", "No Name"]) {
      const value = Buffer.from("value");
      await secrets.set(owner, name, value).catch(() => {});
      expect(value).toEqual(Buffer.alloc(5));
    }
  });

  it(`is one of at most ${SECRETS_PER_TENANT_MAX}`, async () => {
    await Promise.all(Array.from({ length: SECRETS_PER_TENANT_MAX }, (_, n) => set(`key-${n}`)));
    expect(await codeOf(set("one-more"))).toBe("SECRETS_TOO_MANY");
    expect((await set("key-0")).version).toBe(2);
    expect(await secrets.list(owner)).toHaveLength(SECRETS_PER_TENANT_MAX);
    await secrets.remove(owner, "key-1");
    await set("one-more");
  });
});

describe("what is at rest", () => {
  const keys = secretKeys(new Uint8Array(32).fill(7));
  const random = systemRandom();
  const of = { tenant: "ten_1", name: "a-key", version: 1 };
  const value = () => Buffer.from("the value");

  it("opens as what it was sealed for, and as nothing else", () => {
    const sealed = sealValue(keys, random, of, value());
    expect(openValue(keys, of, sealed).toString()).toBe("the value");
    for (const other of [
      { ...of, tenant: "ten_2" },
      { ...of, name: "b-key" },
      { ...of, version: 2 },
    ]) {
      expect(() => openValue(keys, other, sealed)).toThrow();
    }
    expect(() => openValue(secretKeys(new Uint8Array(32)), of, sealed)).toThrow();
  });

  it("does not open when a bit of it was changed, or one row has another's parts", () => {
    const sealed = sealValue(keys, random, of, value());
    const other = sealValue(keys, random, of, value());
    for (const part of ["wrapped_key", "nonce", "ciphertext"] as const) {
      const bytes = Buffer.from(sealed[part], "base64");
      for (const at of [0, bytes.length - 1]) {
        const changed = Buffer.from(bytes);
        changed[at]! ^= 1;
        expect(() => openValue(keys, of, { ...sealed, [part]: changed.toString("base64") })).toThrow();
      }
      expect(() => openValue(keys, of, { ...sealed, [part]: other[part] })).toThrow();
      expect(() => openValue(keys, of, { ...sealed, [part]: "" })).toThrow();
    }
  });

  it("has a data key of its own for each version", async () => {
    await set("a-key", "same");
    const first = await selectSecret(ground.storage, owner.tenant, "a-key");
    await set("a-key", "same");
    const second = await selectSecret(ground.storage, owner.tenant, "a-key");
    for (const part of ["wrapped_key", "nonce", "ciphertext"] as const) expect(first![part]).not.toBe(second![part]);
    expect(first!.key_id).toBe(second!.key_id);
    expect(first!.key_id).toMatch(/^[0-9a-f]{16}$/);
  });

  it("stops the start when the key is not the one that sealed it", async () => {
    const foreign = secretsWith(new Uint8Array(32));
    await foreign.checkKeys();
    await set("a-key");
    await secrets.checkKeys();
    expect(await codeOf(foreign.checkKeys())).toBe("SECRETS_KEY_MISMATCH");
  });
});
