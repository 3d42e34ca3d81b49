import { z } from "zod";
import { migrations as destination_migrations, audited_tables as service_tables } from "./egress/destination/store.ts";
import { migrations as door_migrations } from "./egress/door/store.ts";
import { migrations as effect_migrations } from "./egress/effects/store.ts";
import { kinds as egress_kinds } from "./egress/kinds.ts";
import { migrations as secret_migrations, audited_tables as secret_tables } from "./egress/secrets/store.ts";
import type { KindSchemas } from "./evidence/contract.ts";
import { kinds as evidence_kinds } from "./evidence/kinds.ts";
import { migrations as evidence_migrations } from "./evidence/store.ts";
import { kinds as gates_kinds } from "./gates/kinds.ts";
import { migrations as gates_migrations, audited_tables as gates_tables } from "./gates/store.ts";
import { migrations as webhook_migrations, audited_tables as webhook_tables } from "./gates/webhook_store.ts";
import { kinds as identity_kinds } from "./identity/contract.ts";
import { migrations as identity_migrations, audited_tables as identity_tables } from "./identity/store.ts";
import { kinds as intent_kinds } from "./intent/kinds.ts";
import { audited_tables as intent_tables } from "./intent/row_store.ts";
import { migrations as intent_migrations } from "./intent/store.ts";
import { kinds as policy_kinds } from "./policy/contract.ts";
import { migrations as policy_migrations, audited_tables as policy_tables } from "./policy/store.ts";
import type { Migration } from "./storage/contract.ts";

/** Of every room, lower floors first: whoever opens a store opens all of it. */
export const MIGRATIONS: readonly Migration[] = [
  ...evidence_migrations,
  ...identity_migrations,
  ...policy_migrations,
  ...secret_migrations,
  ...effect_migrations,
  ...destination_migrations,
  ...door_migrations,
  ...gates_migrations,
  ...webhook_migrations,
  ...intent_migrations,
];

/** Those of every room: what an audit compares with the ledger. */
export const AUDITED_TABLES = [
  ...identity_tables,
  ...policy_tables,
  ...secret_tables,
  ...service_tables,
  ...gates_tables,
  ...webhook_tables,
  ...intent_tables,
];

/** Storage owns no ledger: what it gives up is recorded by `main.ts`. */
const timer_kinds = {
  "timer.parked": z.strictObject({ owner: z.string(), key: z.string(), attempts: z.int().min(1) }),
};

/** The ledger kinds of every room. */
export const KINDS: KindSchemas = {
  ...evidence_kinds,
  ...identity_kinds,
  ...policy_kinds,
  ...egress_kinds,
  ...gates_kinds,
  ...intent_kinds,
  ...timer_kinds,
};
