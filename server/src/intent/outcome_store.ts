import { z } from "zod";
import type { EgressRow } from "../egress/contract.ts";
import type { BlockedCall } from "../execution/contract.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { Reader } from "../storage/contract.ts";
import { walledRows } from "./doors.ts";

/** What became of runs, and what they called, for whoever judges them by their rows. The table is `store.ts`'s. */

const json = <T>() =>
  z
    .string()
    .nullable()
    .transform((text) => (text === null ? undefined : (JSON.parse(text) as T))); // our own JSON
const outcomeRow = z.object({
  id: z.string(),
  termination: z.string().nullable(),
  egress: json<EgressRow[]>(),
  blocked: json<BlockedCall[]>(),
});

export const run_outcomes = {
  /** Those of the tenant's, by id; others are left out. A run without a door has what the wall saw. */
  async outcomes(reader: Reader, tenant: TenantId, runs: readonly string[]) {
    const places = runs.map(() => "?").join(", ");
    const sql = `SELECT id, termination, egress, blocked FROM runs WHERE tenant = ? AND id IN (${places}) ORDER BY id`;
    const rows = (await reader.all(sql, [tenant, ...runs])).map((row) => outcomeRow.parse(row));
    return rows.map(({ id: run, termination, egress, blocked }) => ({
      run,
      termination,
      rows: egress ?? walledRows(blocked ?? []),
    }));
  },
};
