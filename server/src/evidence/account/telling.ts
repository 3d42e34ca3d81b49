import type { z } from "zod";
import type { Told } from "./told.ts";

/** What an entry says, and what more there is to it. */
export interface Telling {
  text: Told;
  details: Told[];
  /** What is not in the ledger, although somebody might look for it there. */
  gaps: Told[];
}

/** Undefined: the data are not those of the kind as it is known here. */
export type Tell = (data: Record<string, unknown>) => Telling | undefined;

/**
 * Kinds of other rooms are read as far as this room knows them: loosely, so that a member more does no harm. Data that
 * do not fit are told as those of a kind that nobody knows.
 */
export function telling<T>(
  schema: z.ZodType<T>,
  tell: (data: T) => Told | { text: Told; details?: Told[]; gaps?: Told[] },
): Tell {
  return (data) => {
    const read = schema.safeParse(data);
    if (!read.success) return undefined;
    const said = tell(read.data);
    return "text" in said ? { details: [], gaps: [], ...said } : { text: said, details: [], gaps: [] };
  };
}

/** A point in time as ISO 8601, UTC; of what no date can say, the number. */
export function instant(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? String(at) : date.toISOString();
}
