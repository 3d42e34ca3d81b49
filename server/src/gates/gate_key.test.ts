import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { agreementsOf } from "../storage/agreements.ts";
import { GATE_KEY_FILE, openGateKey, type VoteClaims } from "./gate_key.ts";

const claims: VoteClaims = {
  approval: "apr_1",
  statement_hash: "0".repeat(64),
  vote: "approve",
  actor: "act_1",
  token: "tok_1",
  at: 1_700_000_000_999,
};

describe("the key of service proofs", () => {
  let ground: Ground;
  const open = (files = ground.files) => openGateKey(agreementsOf(ground.storage), files, ground.random);

  beforeEach(async () => {
    ground = await openGround();
  });
  afterEach(() => ground.remove());

  it("is made once, and is the same ever after", async () => {
    const [first, second] = await Promise.all([open(), open()]);
    expect(second?.kid).toBe(first?.kid);
    expect((await open()).kid).toBe(first?.kid);
  });

  it("that is missing, another one or none stops the room: votes must be provable by one key", async () => {
    const { kid } = await open();
    const pem = Buffer.from((await ground.files.read(GATE_KEY_FILE))!).toString("utf8");
    await ground.files.remove(GATE_KEY_FILE);
    await expect(open()).rejects.toThrow(/GATE_KEY: .* is missing/);
    await ground.files.replace(GATE_KEY_FILE, "no key");
    await expect(open()).rejects.toThrow(/GATE_KEY: .* is no Ed25519 private key/);
    const other = await openGround();
    const theirs = await openGateKey(agreementsOf(other.storage), other.files, other.random);
    await ground.files.replace(GATE_KEY_FILE, (await other.files.read(GATE_KEY_FILE))!);
    await other.remove();
    expect(theirs.kid).not.toBe(kid);
    await expect(open()).rejects.toThrow(/GATE_KEY: .* is not the key/);
    await ground.files.replace(GATE_KEY_FILE, pem);
    expect((await open()).kid).toBe(kid);
  });

  it("reads its own proofs and no others", async () => {
    const key = await open();
    const jws = key.prove(claims);
    expect(key.read(jws)).toEqual({ ...claims, iat: 1_700_000_000 });
    const [header, payload, signature] = jws.split(".") as [string, string, string];
    const other = Buffer.from(JSON.stringify({ ...claims, vote: "decline" })).toString("base64url");
    const none = Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url");
    const bad = [`${header}.${other}.${signature}`, `${none}.${payload}.`, `${none}.${payload}.${signature}`];
    for (const text of [...bad, `${jws}.`, `${header}.${payload}`, "", "..", jws.slice(0, -2)]) {
      expect(key.read(text), text).toBeUndefined();
    }
  });

  it("makes proofs that openssl verifies", async () => {
    const key = await open();
    const directory = mkdtempSync(`${tmpdir()}/gantry-proof-`);
    const [header, payload, signature] = key.prove(claims).split(".") as [string, string, string];
    const verify = (signed: string) => {
      const file = (name: string, content: string | Uint8Array) => {
        writeFileSync(join(directory, name), content);
        return join(directory, name);
      };
      const place = ["-pubin", "-inkey", file("key.pem", key.public_key), "-rawin", "-in", file("signed", signed)];
      const sigfile = file("signature", Buffer.from(signature, "base64url"));
      return spawnSync("openssl", ["pkeyutl", "-verify", ...place, "-sigfile", sigfile], { encoding: "utf8" }).status;
    };
    expect(verify(`${header}.${payload}`)).toBe(0);
    expect(verify(`${header}.${payload}A`)).toBe(1);
    rmSync(directory, { recursive: true });
  });
});
