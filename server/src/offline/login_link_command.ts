import { parseArgs } from "node:util";
import { type Config, readConfig, UsageError } from "../config.ts";
import { EvidenceLedger } from "../evidence/ledger.ts";
import { openStateKey } from "../evidence/state_key.ts";
import { type ActorLink, linkFor } from "../identity/admin_link.ts";
import { SCOPES, type Scope } from "../identity/contract.ts";
import { systemClock } from "../kernel/clock.ts";
import { isGantryError } from "../kernel/errors.ts";
import { createIds } from "../kernel/ids.ts";
import { systemRandom } from "../kernel/random.ts";
import { noMetrics } from "../kernel/telemetry.ts";
import { KINDS } from "../schema.ts";
import { openPrivateFiles } from "../storage/adapters/private_files.ts";
import { agreementsOf } from "../storage/agreements.ts";
import { placed, print } from "./command_line.ts";
import { offlineSentence, openOffline } from "./opening.ts";

/** What `login-link` was told. */
interface LinkOptions {
  config: Config;
  tenant: string | undefined;
  actor: string | undefined;
  scopes: Scope[] | undefined;
}

/**
 * `server.js login-link`: makes a login link for a human on the store itself, and records it. Whoever can open the store
 * is its operator; over HTTP nobody gets one. Prints one JSON line. The ledger entry is sealed by the server that runs
 * on the store next, or now.
 * @throws UsageError  the store cannot be used, or there is no such human.
 */
export async function loginLink(args: string[]): Promise<number> {
  const options = readOptions(args);
  try {
    const answer = { ...(await makeOn(options)), url: placeOf(options.config) };
    print(answer);
    return 0;
  } catch (error) {
    if (isGantryError(error)) throw new UsageError(offlineSentence(error));
    throw error;
  }
}

/** Where a browser finds the server that this config starts; `up --port` may have said otherwise. */
function placeOf({ host, port, tls }: Config): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return `${tls === undefined ? "http" : "https"}://${name}:${port}`;
}

async function makeOn({ config, ...asked }: LinkOptions): Promise<ActorLink> {
  const clock = systemClock();
  const random = systemRandom();
  const common = { clock, random, ids: createIds(clock, random), metrics: noMetrics };
  const opened = await openOffline(config, common);
  const { storage } = opened;
  try {
    const files = openPrivateFiles(config.data, random);
    const state_key = await openStateKey(agreementsOf(storage), files, random);
    const ledger = new EvidenceLedger({ ...common, storage, state_key, kinds: KINDS });
    return await linkFor({ ...common, storage, ledger }, asked);
  } finally {
    await opened.close();
  }
}

/** @throws UsageError */
function readOptions(args: string[]): LinkOptions {
  const text = { type: "string" } as const;
  const options = { data: text, store: text, config: text, tenant: text, actor: text, scopes: text };
  const given = parsed(args, options);
  const { tenant, actor, scopes } = given;
  return {
    config: readConfig(placed(given)),
    tenant,
    actor,
    scopes: scopes === undefined ? undefined : scopesOf(scopes),
  };
}

function parsed<T extends Record<string, { type: "string" }>>(args: string[], options: T) {
  try {
    return parseArgs({ args, strict: true, options }).values;
  } catch (error) {
    const names = Object.keys(options).map((name) => `--${name}`);
    throw new UsageError(`${(error as Error).message}. Options are ${names.join(", ")}.`);
  }
}

/** @throws UsageError */
function scopesOf(list: string): Scope[] {
  return list.split(",").map((name) => {
    const known = SCOPES.find((scope) => scope === name.trim());
    if (known === undefined) throw new UsageError(`"${name}" is no scope; there are ${SCOPES.join(", ")}.`);
    return known;
  });
}
