import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { gateKey, type VoteClaims } from "./gate_key.ts";

const claims: VoteClaims = {
  approval: "apr_1",
  statement_hash: "0".repeat(64),
  vote: "approve",
  actor: "act_1",
  token: "tok_1",
  at: 1_700_000_000_999,
};

describe("the key of service proofs", () => {
  const state_key = new Uint8Array(32).fill(7);

  it("is the same for every node that has the state key, and another for another", () => {
    const { kid } = gateKey(state_key);
    expect(gateKey(new Uint8Array(state_key)).kid).toBe(kid);
    expect(gateKey(new Uint8Array(32).fill(8)).kid).not.toBe(kid);
  });

  it("reads its own proofs and no others", () => {
    const key = gateKey(state_key);
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

  it("makes proofs that openssl verifies", () => {
    const key = gateKey(state_key);
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
