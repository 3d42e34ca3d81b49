import { chmod, readFile, rm, stat, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import type { PrivateFiles } from "../storage/contract.ts";
import { bootstrap, FILE_SCOPES, OWNER_TOKEN_FILE } from "./bootstrap.ts";
import { OWNER_TOKEN_LIFE_MS, SCOPES } from "./contract.ts";
import { makeToken } from "./token.ts";

let ground: Ground;
let path: string;

beforeEach(async () => {
  ground = await openGround();
  path = `${ground.directory}/owner.token`;
});
afterEach(() => ground.remove());

/** Stops and starts again on the same directory. */
async function restart(o: Parameters<typeof openGround>[0] = {}): Promise<void> {
  await ground.stop();
  ground = await openGround({ ...o, directory: ground.directory });
}
const everything = async () => {
  const tables = ["tenants", "actors", "tokens", "evidence_entries", "evidence_pending", "evidence_subjects"];
  return Promise.all(tables.map((table) => ground.storage.all(`SELECT * FROM ${table}`, [])));
};
const kinds = async () => (await ground.ledger.list({ limit: 200 })).items.map((entry) => entry.kind);

it("the first start makes tenant, owner, agent and a token that works, and enters each", async () => {
  expect(ground.owned.minted).toBe(true);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readFile(path, "utf8")).toMatch(/^gtr_hum_[0-9A-Za-z]{36}\n$/);
  expect(ground.owner).toMatchObject({ tenant: ground.owned.tenant, actor: ground.owned.owner });
  expect(await kinds()).toEqual(["tenant.created", "actor.created", "actor.created", "link.made", "token.minted"]);
  const agent = await ground.storage.get("SELECT * FROM actors WHERE id = ?", [ground.owned.agent]);
  expect(agent).toMatchObject({ kind: "agent", name: "local", owner_actor_id: ground.owned.owner });
});

it("a second start changes nothing", async () => {
  const [before, file] = [await everything(), await readFile(path, "utf8")];
  await restart();
  expect(ground.owned.minted).toBe(false);
  expect(await everything()).toEqual(before);
  expect(await readFile(path, "utf8")).toBe(file);
});

it("a lost file is written anew; the old token ends, with what it minted", async () => {
  const { secret: old } = ground;
  const child = await ground.identity.mintToken(ground.owner, { scopes: ["run:read"] });
  await rm(path);
  await restart();
  expect(ground.owned.minted).toBe(true);
  for (const each of [old, child.secret]) {
    await expect(ground.identity.authenticate(each)).rejects.toMatchObject({ code: "TOKEN_REVOKED" });
  }
  const revoked = (await ground.ledger.list({ kind: "token.revoked", limit: 10 })).items;
  expect(revoked.map((entry) => entry.data["cause"])).toEqual(["replaced", "parent"]);
});

it.each([
  ["is empty", () => ""],
  ["holds something else", () => "hello\n"],
  ["holds a token of another installation", () => `${makeToken("hum", ground.random)}\n`],
])("a file that %s is replaced", async (_name, content) => {
  await writeFile(path, content());
  await restart();
  expect(ground.owned.minted).toBe(true);
  expect(ground.owner.actor).toBe(ground.owned.owner);
  expect(await ground.storage.all("SELECT id FROM tokens WHERE revoked_at IS NULL", [])).toHaveLength(1);
});

it("a file with a token of the agent is replaced: it is not the owner's", async () => {
  const token = await ground.identity.mintToken(ground.owner, { scopes: [], actor: ground.owned.agent });
  await writeFile(path, `${token.secret}\n`);
  await restart();
  expect(ground.owned.minted).toBe(true);
});

describe("a token that was made before there were some scopes", () => {
  /** As an earlier version minted it. */
  const withoutNewScopes = async () => {
    const scopes = SCOPES.filter((scope) => !scope.startsWith("evidence:") || scope === "evidence:read");
    await ground.storage.write((tx) =>
      tx.run("UPDATE tokens SET scopes_json = ? WHERE origin = 'owner'", [JSON.stringify(scopes)]),
    );
  };

  it("is replaced at the next start by one that has them all; what it minted lives on", async () => {
    const { secret: old } = ground;
    const child = await ground.identity.mintToken(ground.owner, { scopes: ["run:read"] });
    await withoutNewScopes();
    await restart();
    expect(ground.owned.minted).toBe(true);
    expect([...ground.owner.scopes]).toEqual(FILE_SCOPES);
    await expect(ground.identity.authenticate(old)).rejects.toMatchObject({ code: "TOKEN_REVOKED" });
    expect(await ground.identity.authenticate(child.secret)).toMatchObject({ tenant: ground.owned.tenant });
    const revoked = (await ground.ledger.list({ kind: "token.revoked", limit: 10 })).items;
    expect(revoked.map((entry) => entry.data["cause"])).toEqual(["replaced"]);
    const { secret } = ground;
    await restart();
    expect(ground).toMatchObject({ secret, owned: { minted: false } });

    // The file is lost later: what the first token had minted ends with the rest.
    await rm(path);
    await restart();
    await expect(ground.identity.authenticate(child.secret)).rejects.toMatchObject({ code: "TOKEN_REVOKED" });
  });

  it("has a successor after a crash before the file was written, too", async () => {
    await withoutNewScopes();
    await ground.stop();
    const crashing = (files: PrivateFiles): PrivateFiles => ({
      ...files,
      replace: () => Promise.reject(new Error("killed")),
    });
    const { directory } = ground;
    await expect(openGround({ directory, wrapFiles: crashing })).rejects.toThrow("killed");
    ground = await openGround({ directory });
    expect([...ground.owner.scopes]).toEqual(FILE_SCOPES);
    expect(await ground.storage.all("SELECT id FROM tokens WHERE revoked_at IS NULL", [])).toHaveLength(1);
  });
});

it("a file that others may read stops the start", async () => {
  await ground.stop();
  await writeFile(path, ground.secret, { mode: 0o600 });
  await chmod(path, 0o644);
  await expect(openGround({ directory: ground.directory })).rejects.toMatchObject({ code: "STORAGE_FILE_MODE" });
  await chmod(path, 0o600);
  await restart();
});

it("a crash between commit and file heals at the next start", async () => {
  await rm(path);
  await ground.stop();
  const crashing = (files: PrivateFiles): PrivateFiles => ({
    ...files,
    create: () => Promise.reject(new Error("killed")),
    replace: () => Promise.reject(new Error("killed")),
  });
  const { directory } = ground;
  await expect(openGround({ directory, wrapFiles: crashing })).rejects.toThrow("killed");
  ground = await openGround({ directory });
  expect(ground.owned.minted).toBe(true);
  expect(ground.owner.actor).toBe(ground.owned.owner);
  expect(await ground.storage.all("SELECT id FROM tokens WHERE revoked_at IS NULL", [])).toHaveLength(1);
  expect(await ground.storage.all("SELECT id FROM tenants", [])).toHaveLength(1);
});

it("an owner's token works until OWNER_TOKEN_LIFE_MS have passed, and is renewed at the next start", async () => {
  await ground.remove();
  const clock = new VirtualClock();
  ground = await openGround({ clock });
  const first = ground.secret;
  clock.advance(OWNER_TOKEN_LIFE_MS - 1);
  await restart({ clock });
  expect(ground.owned.minted).toBe(false);
  clock.advance(1);
  await expect(ground.identity.authenticate(first)).rejects.toMatchObject({ code: "TOKEN_EXPIRED" });
  await restart({ clock });
  expect(ground.owned.minted).toBe(true);
  expect(ground.owner.actor).toBe(ground.owned.owner);
});

it("each node of a database has an owner token of its own, and a node that lost its file ends no other's", async () => {
  /** Another data directory over the same database. */
  const nodeOf = (node: string) => {
    let content: string | undefined;
    const put = async (_name: string, text: string | Uint8Array) => {
      content = String(text);
    };
    const files: PrivateFiles = {
      create: put,
      replace: put,
      remove: async () => {},
      read: async () => (content === undefined ? undefined : Buffer.from(content)),
    };
    return {
      start: () => bootstrap({ ...ground, files, node }),
      lose: () => {
        content = undefined;
      },
      secret: () => (content ?? "").trim(),
    };
  };
  const [a, b] = [nodeOf("a"), nodeOf("b")];
  const [first, second] = await Promise.all([a.start(), b.start()]);
  expect(first.tenant).toBe(second.tenant);
  const lost = a.secret();
  a.lose();
  await a.start();
  await expect(ground.identity.authenticate(lost)).rejects.toMatchObject({ code: "TOKEN_REVOKED" });
  for (const secret of [a.secret(), b.secret(), ground.secret]) {
    expect(await ground.identity.authenticate(secret)).toMatchObject({ actor: first.owner });
  }
  expect(OWNER_TOKEN_FILE).toBe("owner.token");
});
