import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { SECRETS_REWRAPPED_MAX } from "../../server/src/egress/contract.ts";
import { readKeyFile } from "../../server/src/egress/secrets/key_file.ts";
import { openRewrapGround, secretValues, startSecrets } from "../fixtures/rewrap_ground.ts";
import { start } from "./child.ts";

const CHILD = [process.execPath, "--import", "tsx", fileURLToPath(new URL("./rewrap_child.ts", import.meta.url))];
/** The new key, two units of secrets, and the end of the old key. */
const STEPS = 4;

it("a change of the secrets' key that is killed at any step loses nothing, and the next one ends it", async () => {
  let ground = await openRewrapGround();
  const { directory } = ground;
  const names = Array.from({ length: SECRETS_REWRAPPED_MAX + 1 }, (_, n) => `key-${n}`);
  const { secrets } = await startSecrets(ground);
  for (const name of names) await secrets.set(ground.owner, name, Buffer.from(`value of ${name}`));
  const whole = await secretValues(ground);
  await ground.stop();
  const change = async (at: number, when: string) => {
    const child = start([...CHILD, directory, String(at), when]);
    await child.ended;
    return { signal: child.process.signalCode, done: child.lines[0] };
  };
  try {
    // The first key of its own takes a step less: there is no key before it in the file.
    expect((await change(0, "none")).done).toMatchObject({ steps: STEPS - 1, resumed: false });
    for (let at = 1; at <= STEPS; at++) {
      for (const when of ["before", "after"]) {
        expect(await change(at, when), `${when} ${at}`).toEqual({ signal: "SIGKILL", done: undefined });
        ground = await openRewrapGround(directory);
        expect(await secretValues(ground), `${when} ${at}`).toEqual(whole);
        await ground.stop();
        const { done } = await change(0, "none");
        expect(done, `${when} ${at}`).toMatchObject({
          resumed: !(at === 1 && when === "before") && !(at === STEPS && when === "after"),
        });
        ground = await openRewrapGround(directory);
        expect(await secretValues(ground), `${when} ${at}`).toEqual(whole);
        expect(await readKeyFile(ground.files)).toHaveLength(1);
        await ground.stop();
      }
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}, 120_000);
