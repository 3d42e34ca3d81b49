/**
 * A change of the key of secrets that kills itself with `kill -9` at a step that changes something on disk. Arguments: data
 * directory, the step (0: none), and `before` it or `after` it.
 */
import { rewrapSecrets } from "../../server/src/egress/secrets/rewrap.ts";
import type { PrivateFiles } from "../../server/src/storage/contract.ts";
import { openRewrapGround } from "../fixtures/rewrap_ground.ts";
import { say } from "./say.ts";

const [, , directory = "", at = "", when = ""] = process.argv;
const ground = await openRewrapGround(directory);
let step = 0;

async function each<T>(work: () => Promise<T>): Promise<T> {
  step += 1;
  if (step === Number(at) && when === "before") process.kill(process.pid, "SIGKILL");
  const done = await work();
  if (step === Number(at)) process.kill(process.pid, "SIGKILL");
  return done;
}

const { storage, files } = ground;
const { write } = storage;
storage.write = (unit, o) => each(() => write.call(storage, unit, o)) as never;
const killed: PrivateFiles = { ...files, replace: (name, content) => each(() => files.replace(name, content)) };
const by = { actor: [{ actor: ground.owner.actor, kind: "human" as const }], operator: "gantry@host" };
const done = await rewrapSecrets({ ...ground, files: killed }, by);
storage.write = write;
say({ ...done, steps: step });
await ground.stop();
