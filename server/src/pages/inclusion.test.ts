import { afterAll, beforeAll, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { inclusionPath } from "../evidence/log/proofs.ts";
import { tlogProof } from "../evidence/log/tlog_proof.ts";
import { readCheckpoint, readInclusion } from "./inclusion.ts";

/** What a page makes of the proofs of a real log. */

const ENTRIES = 21;
let ground: Ground;
let note: string;

beforeAll(async () => {
  ground = await openGround({ sealing: true });
  await ground.seal();
  for (let n = (await ground.log.checkpoint()).size; n < ENTRIES; n++) {
    await ground.storage.write((tx) =>
      ground.ledger.append(tx, {
        kind: "token.revoked",
        tenant: ground.owned.tenant,
        actor: [],
        refs: [],
        data: { token: `tok_${n}`, actor: "act_1", cause: "asked" },
      }),
    );
  }
  note = await ground.seal();
});
afterAll(() => ground.remove());

async function proofAt(index: number): Promise<string> {
  const [extra = new Uint8Array()] = await ground.log.bodies(index, index + 1);
  return tlogProof({ index, extra, path: await inclusionPath(ground.log.tiles, index, ENTRIES), note });
}

it("the path of every entry leads to the root of the checkpoint", async () => {
  for (let index = 0; index < ENTRIES; index++) {
    const inclusion = readInclusion(await proofAt(index));
    expect(inclusion).toMatchObject({ index, leads_to_root: true, checkpoint: { size: ENTRIES } });
  }
});

it("another index, another body, a shorter, a longer and a changed path do not", async () => {
  const proof = await proofAt(6);
  const other = await proofAt(7);
  const hash = /\n([A-Za-z0-9+/]{43}=)\n/.exec(proof)?.[1] ?? "";
  const wrong = {
    index: proof.replace("\nindex 6\n", "\nindex 5\n"),
    past: proof.replace("\nindex 6\n", `\nindex ${ENTRIES}\n`),
    body: proof.replace(/\nextra .*/, /\nextra .*/.exec(other)?.[0] ?? ""),
    shorter: proof.replace(`${hash}\n`, ""),
    longer: proof.replace(`${hash}\n`, `${hash}\n${hash}\n`),
    changed: proof.replace(hash, `${"A".repeat(43)}=`),
  };
  for (const [what, text] of Object.entries(wrong)) {
    expect([what, text !== proof, readInclusion(text)?.leads_to_root]).toEqual([what, true, false]);
  }
});

it("what is no proof, and no checkpoint, is none", async () => {
  const proof = await proofAt(0);
  for (const text of ["", "no", proof.slice(0, 80), proof.replace("tlog-proof@v1", "tlog-proof@v2")]) {
    expect(readInclusion(text)).toBeUndefined();
  }
  expect(readCheckpoint(note.replace("\n\n", "\n"))).toBeUndefined();
  expect(readCheckpoint(note)).toMatchObject({ size: ENTRIES, signers: [expect.stringContaining("gantry-")] });
});
