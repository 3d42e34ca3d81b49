import { z } from "zod";
import type { Agreements, Reader, Storage } from "./contract.ts";
import { agreement_sql } from "./store.ts";

/** The port that other rooms use. */
export function agreementsOf(storage: Storage): Agreements {
  return { find: (name) => agreedOn(storage, name), agree: (name, value) => agreeOn(storage, name, value) };
}

/** What was agreed on, or undefined while nobody has said anything. */
export async function agreedOn(reader: Reader, name: string): Promise<string | undefined> {
  const row = await reader.get(agreement_sql.read, [name]);
  return row === undefined ? undefined : z.string().parse(row["value"]);
}

/** Says `value`, if nothing was said before. @returns what holds. */
export async function agreeOn(storage: Storage, name: string, value: string): Promise<string> {
  const before = await agreedOn(storage, name);
  if (before !== undefined) return before;
  await storage.write((tx) => tx.run(agreement_sql.say, [name, value]));
  return (await agreedOn(storage, name)) ?? value;
}
