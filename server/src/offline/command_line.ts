import { UsageError } from "../config.ts";
import { isGantryError } from "../kernel/errors.ts";
import { isErrno } from "../storage/adapters/files.ts";

/** How far a long work has come, as a line of JSON. */
export type Say = (part: string, done: number, total: number) => void;

/** The options that say which installation is meant, as the server takes them. */
export function placed(given: { data?: string; store?: string; config?: string }): string[] {
  return (["data", "store", "config"] as const).flatMap((name) => {
    const value = given[name];
    return value === undefined ? [] : [`--${name}`, value];
  });
}

/** @throws UsageError  in place of what the system or the store refuses: a sentence for who called. */
export async function told(work: () => Promise<void>): Promise<number> {
  try {
    await work();
    return 0;
  } catch (error) {
    if (isGantryError(error)) throw new UsageError(error.message);
    if (isErrno(error, "ENOSPC", "EDQUOT")) {
      throw new UsageError("The disk is full. What had been written there was taken away again; nothing else changed.");
    }
    if (isErrno(error, "EACCES", "EPERM", "EROFS")) {
      throw new UsageError(`${(error as Error).message}. Do this as the user that the server runs as.`);
    }
    throw error;
  }
}

/** One line of what the command prints. */
export function print(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** As a progress line. */
export const say: Say = (part, done, total) => print({ progress: { part, done, total } });
