import { writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Ground } from "../../../../tests/fixtures/ground.ts";
import { openRewrapGround, secretValues, startSecrets } from "../../../../tests/fixtures/rewrap_ground.ts";
import { stateDigest } from "../../evidence/entry.ts";
import type { Principal } from "../../identity/contract.ts";
import type { PrivateFiles, Storage } from "../../storage/contract.ts";
import { SECRETS_REWRAPPED_MAX } from "../contract.ts";
import { readKeyFile, SECRETS_KEY_FILE } from "./key_file.ts";
import { openValue, secretKeys } from "./key_wrap.ts";
import { type RewrapParts, rewrapSecrets } from "./rewrap.ts";
import { audited_tables, selectSecret } from "./store.ts";

let ground: Ground;
let owner: Principal;

beforeEach(async () => {
  ground = await openRewrapGround();
  owner = ground.owner;
});
afterEach(() => ground.remove());

const by = () => ({ actor: [{ actor: owner.actor, kind: "human" as const }], operator: "gantry@host" });
const rewrap = (more: Partial<RewrapParts> = {}, say?: (done: number, total: number) => void) =>
  rewrapSecrets({ ...ground, ...more }, by(), say);

const started = () => startSecrets(ground);
const values = () => secretValues(ground);
async function set(...names: string[]): Promise<void> {
  const { secrets } = await started();
  for (const name of names) await secrets.set(owner, name, Buffer.from(`value of ${name}`));
}
const keysUsed = async () =>
  (await ground.storage.all("SELECT DISTINCT key_id FROM egress_secrets", [])).map(({ key_id }) => key_id);
const told = async () => {
  const { items } = await ground.ledger.list({ tenant: owner.tenant, limit: 200 });
  return items.filter(({ kind }) => kind === "secrets.rewrapped");
};

describe("a new key for secrets", () => {
  it("wraps each of them, opens each of them, and leaves the value and its data key as they were sealed", async () => {
    await set("a-key", "b-key");
    const before = await selectSecret(ground.storage, owner.tenant, "a-key");
    const derived = secretKeys(ground.state_key).key_id;
    const done = await rewrap();
    expect(done).toEqual({ key: expect.any(String), before: [derived], secrets: 2, tenants: 1, resumed: false });
    expect(done.key).not.toBe(derived);
    expect(await keysUsed()).toEqual([done.key]);
    expect(await values()).toEqual(["value of a-key", "value of b-key"]);
    const after = await selectSecret(ground.storage, owner.tenant, "a-key");
    expect(after).toEqual({ ...before, key_id: done.key, wrapped_key: expect.any(String) });
    expect(after?.wrapped_key).not.toBe(before?.wrapped_key);
    // The key from before, which a stolen copy has, opens nothing that is wrapped now.
    const of = { tenant: owner.tenant, name: "a-key", version: 1 };
    expect(() => openValue(secretKeys(ground.state_key), of, after!)).toThrow("not here");
    expect(() => openValue(secretKeys(ground.state_key), of, { ...after!, key_id: derived })).toThrow();
  });

  it("is entered with the digests of the rows that it changed, and the entry holds nothing of a key", async () => {
    await set("a-key");
    const { key } = await rewrap();
    const [{ table, columnsOf } = audited_tables[0]!] = audited_tables;
    const row = (await ground.storage.get("SELECT * FROM egress_secrets", []))!;
    const [entry, ...more] = await told();
    expect(more).toEqual([]);
    expect(entry?.data).toEqual({ key, secrets: 1, operator: "gantry@host" });
    expect(entry?.actor).toEqual(by().actor);
    const subject = `${table}/${row["id"]}`;
    const newest = await ground.storage.get(
      `SELECT e.body FROM evidence_subjects s JOIN evidence_entries e ON e.arrival = s.arrival WHERE s.subject = ?
       ORDER BY e.arrival DESC LIMIT 1`,
      [subject],
    );
    const text = Buffer.from(newest?.["body"] as Uint8Array).toString("utf8");
    const body = JSON.parse(text);
    expect(body.kind).toBe("secrets.rewrapped");
    expect(body.state[subject]).toBe(stateDigest(ground.state_key, table, String(row["id"]), columnsOf(row)));
    const [kept] = await readKeyFile(ground.files);
    for (const form of ["base64", "hex"] as const) expect(text).not.toContain(Buffer.from(kept!).toString(form));
  });

  it("takes the place of the one before, again and again, and secrets that are set later take it", async () => {
    await set("a-key");
    const first = await rewrap();
    await set("b-key");
    expect(await keysUsed()).toEqual([first.key]);
    const second = await rewrap();
    expect(second).toMatchObject({ before: [first.key], secrets: 2, resumed: false });
    expect(await readKeyFile(ground.files)).toHaveLength(1);
    expect(await values()).toEqual(["value of a-key", "value of b-key"]);
  });

  it(`goes by ${SECRETS_REWRAPPED_MAX} in a unit, tenant by tenant, and says how far it has come`, async () => {
    const names = Array.from({ length: SECRETS_REWRAPPED_MAX + 1 }, (_, n) => `key-${n}`);
    await set(...names);
    const other = await ground.identity.createTenant(owner, "other");
    const { secrets } = await started();
    await secrets.set({ ...owner, tenant: other.tenant.id }, "theirs", Buffer.from("value"));
    const said: number[][] = [];
    const done = await rewrap({}, (n, total) => void said.push([n, total]));
    expect(done).toMatchObject({ secrets: SECRETS_REWRAPPED_MAX + 2, tenants: 2 });
    expect(said.at(-1)).toEqual([SECRETS_REWRAPPED_MAX + 2, SECRETS_REWRAPPED_MAX + 2]);
    expect((await told()).map(({ data }) => data["secrets"]).sort((a, b) => Number(a) - Number(b))).toEqual([
      1,
      SECRETS_REWRAPPED_MAX,
    ]);
  });

  it("is not made where there is nothing to wrap", async () => {
    await expect(rewrap()).rejects.toMatchObject({ code: "SECRETS_NONE" });
    expect(await readKeyFile(ground.files)).toEqual([]);
  });

  it("stops at a secret that was changed in the database, names it, and loses nothing", async () => {
    await set("a-key", "b-key");
    const sql = "UPDATE egress_secrets SET ciphertext = ? WHERE name = ?";
    const { ciphertext } = (await selectSecret(ground.storage, owner.tenant, "a-key"))!;
    await ground.storage.write((tx) => tx.run(sql, [ciphertext, "b-key"], 1));
    const error = await rewrap().catch((failed: unknown) => failed);
    expect(error).toMatchObject({
      code: "SECRETS_KEY_MISMATCH",
      parts: { detail: expect.stringContaining("b-key") },
    });
    const { secrets, keys } = await started();
    await secrets.remove(owner, "b-key");
    expect(await values()).toEqual(["value of a-key"]);
    expect(await rewrap()).toMatchObject({ key: keys.key_id, resumed: true, secrets: 1 });
  });

  it("is looked for before anything starts: without the file, or with a damaged one, no secret is touched", async () => {
    await set("a-key");
    await rewrap();
    const whole = (await ground.files.read(SECRETS_KEY_FILE))!;
    await ground.files.remove(SECRETS_KEY_FILE);
    await expect(started()).rejects.toMatchObject({ code: "SECRETS_KEY_MISMATCH" });
    await expect(rewrap()).rejects.toMatchObject({ code: "SECRETS_KEY_MISMATCH" });
    for (const text of ["", "{}", '{"v":1,"keys":[]}', '{"v":1,"keys":["YWJj"]}', '{"v":2,"keys":["YWJj"]}']) {
      await writeFile(`${ground.directory}/${SECRETS_KEY_FILE}`, text, { mode: 0o600 });
      await expect(started(), text).rejects.toMatchObject({ code: "SECRETS_KEY_FILE" });
      await expect(rewrap(), text).rejects.toMatchObject({ code: "SECRETS_KEY_FILE" });
    }
    await ground.files.replace(SECRETS_KEY_FILE, whole);
    expect(await values()).toEqual(["value of a-key"]);
  });
});

describe("a change of keys that is broken off", () => {
  /** Fails at its `at`th step that changes something: before it, or when it is done and nobody has heard of it. */
  function failing(at: number, when: "before" | "after"): Pick<RewrapParts, "storage" | "files"> & { steps(): number } {
    let step = 0;
    const each = async <T>(work: () => Promise<T>): Promise<T> => {
      step += 1;
      if (step === at && when === "before") throw new Error("gone");
      const done = await work();
      if (step === at) throw new Error("gone");
      return done;
    };
    const { storage, files } = ground;
    return {
      steps: () => step,
      files: { ...files, replace: (name, content) => each(() => files.replace(name, content)) } satisfies PrivateFiles,
      storage: {
        get: (sql: string, params: never[]) => storage.get(sql, params),
        all: (sql: string, params: never[]) => storage.all(sql, params),
        write: (unit: Parameters<Storage["write"]>[0]) => each(() => storage.write(unit)),
      } as unknown as Storage,
    };
  }

  it("at any of its steps loses nothing, lets a server start and set secrets, and is ended by the next", async () => {
    const names = Array.from({ length: SECRETS_REWRAPPED_MAX + 2 }, (_, n) => `key-${n}`);
    await set(...names);
    await rewrap();
    const whole = await values();
    const counting = failing(0, "before");
    await rewrap(counting);
    const steps = counting.steps();
    expect(steps).toBe(4);
    for (let at = 1; at <= steps; at++) {
      for (const when of ["before", "after"] as const) {
        await expect(rewrap(failing(at, when)), `${when} ${at}`).rejects.toThrow("gone");
        expect(await values(), `${when} ${at}`).toEqual(whole);
        await set("key-0");
        expect(await values(), `${when} ${at}`).toEqual(whole);
        const was_begun = at > 1 || when === "after";
        const was_ended = at === steps && when === "after";
        expect((await rewrap()).resumed, `${when} ${at}`).toBe(was_begun && !was_ended);
        expect(await values(), `${when} ${at}`).toEqual(whole);
        expect([await keysUsed(), await readKeyFile(ground.files)].map(({ length }) => length)).toEqual([1, 1]);
      }
    }
  }, 60_000);
});
