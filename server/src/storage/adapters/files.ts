import { open } from "node:fs/promises";

/** Makes the names in a directory durable: a file's own sync does not cover the entry that leads to it. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Is this Node's error of that code, e.g. `ENOENT`? */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  return typeof error === "object" && error !== null && "code" in error && codes.includes(String(error.code));
}
