import type { SnapshotId } from "../kernel/ids.ts";
import type { RunRequests } from "../policy/contract.ts";
import type { Reader } from "../storage/contract.ts";
import { requestOf } from "./decide.ts";
import { findRun } from "./store.ts";

/**
 * What policy was asked of a run, from its row. The gates that an approval held open are left out: so the answer names the
 * rule that asked for people. The limits are those that the run got; where it named none, the contract allows them.
 */
export function runRequests(reader: Reader): RunRequests {
  return {
    async of(tenant, run) {
      const row = await findRun(reader, run);
      if (row?.tenant !== tenant) return undefined;
      const request = requestOf(row, { limits: row.limits, carries: row.facts?.carries ?? [] });
      const contract = { name: row.contract, version: row.contract_version };
      return { snapshot: row.snapshot as SnapshotId, contract, request };
    },
  };
}
