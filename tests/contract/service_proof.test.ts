import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { gateKey } from "../../server/src/gates/gate_key.ts";
import { temporaryDirectory } from "../fixtures/sqlite_store.ts";

const page = readFileSync(new URL("../../docs/approvals.md", import.meta.url), "utf8");
/** Of the page's blocks, the one that leaves it to openssl. */
const commands = [...page.matchAll(/```sh\n(.*?)```/gs)].find(([, text]) => text?.includes("openssl"))?.[1] ?? "";

it("a service proof holds by openssl, as docs/approvals.md says, and a changed one does not", async () => {
  const directory = await temporaryDirectory();
  try {
    const key = gateKey(new Uint8Array(32).fill(7));
    const claims = {
      approval: "apr_1",
      statement_hash: "0".repeat(64),
      vote: "approve" as const,
      actor: "act_1",
      token: "tok_1",
      at: 1_700_000_000_123,
    };
    const jws = key.prove(claims);
    writeFileSync(`${directory.path}/gate.pem`, key.public_key);
    const run = (proof: string) => {
      writeFileSync(`${directory.path}/proof.jws`, proof);
      const { stdout } = spawnSync("sh", ["-c", commands], { cwd: directory.path, encoding: "utf8" });
      return stdout;
    };
    const said = run(`${jws}\n`);
    expect(said).toContain("Signature Verified Successfully");
    expect(JSON.parse(said.slice(said.indexOf("{")))).toMatchObject(claims);
    const [head = "", body = "", signature = ""] = jws.split(".");
    const forged = Buffer.from(JSON.stringify({ ...claims, vote: "decline" })).toString("base64url");
    expect(run(`${head}.${forged}.${signature}`)).toContain("Signature Verification Failure");
    expect(run(`${head}.${body}.${Buffer.alloc(64).toString("base64url")}`)).toContain("Failure");
  } finally {
    await directory.remove();
  }
});
