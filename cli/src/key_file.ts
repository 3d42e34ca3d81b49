import { lstat, readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { SigningKey } from "@gantry/sdk";
import { usage } from "./failure.ts";
import { parseJson, reasonOf } from "./input.ts";
import type { Terminal } from "./terminal.ts";

const OTHERS = 0o077;
const FILE_BYTES_MAX = 16_384;

/** The flag of every command that signs. */
export const key_arg = {
  key: {
    type: "string",
    valueHint: "FILE",
    description: "a key file of gantry keys create (default GANTRY_KEY)",
  },
} as const;

/**
 * The signing key that is meant: `--key`, else `GANTRY_KEY`.
 * @throws Failure exit 2, also when others may read the file.
 */
export async function readKey(flag: string | undefined, io: Pick<Terminal, "env" | "cwd">): Promise<SigningKey> {
  const file = flag ?? io.env["GANTRY_KEY"];
  if (!file) throw usage("--key is missing: a key file, as gantry keys create makes it.");
  const path = resolve(io.cwd, file);
  const stat = await lstat(path).catch((error: unknown) => {
    throw usage(`${file} cannot be read: ${reasonOf(error)}.`);
  });
  if ((stat.mode & OTHERS) !== 0) throw usage(`${file} can be read by others: chmod 600 ${file}, or make another key.`);
  const value = parseJson(await readSmall(path, file), file) as Partial<SigningKey> | null;
  const texts = [value?.kid, value?.actor, value?.tenant, value?.instance, value?.private_jwk?.d];
  if (texts.every((each) => typeof each === "string") && typeof value?.act === "object") return value as SigningKey;
  throw usage(`${file} is no key file: gantry keys create makes one.`);
}

/** A small file's text. @throws Failure exit 2 */
export async function readSmall(path: string, shown: string): Promise<string> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw usage(`${shown} cannot be read: ${reasonOf(error)}.`);
  });
  if (bytes.byteLength > FILE_BYTES_MAX) throw usage(`${shown} is larger than any key.`);
  return bytes.toString("utf8");
}
