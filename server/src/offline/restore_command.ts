import { rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Config, readConfig, UsageError } from "../config.ts";
import { LATEST_FILE } from "../evidence/log/history.ts";
import { systemClock } from "../kernel/clock.ts";
import { systemRandom } from "../kernel/random.ts";
import { openPrivateFiles } from "../storage/adapters/private_files.ts";
import { checkBackup } from "./backup_check.ts";
import { makeBackup, summaryOf } from "./backup_command.ts";
import type { Manifest } from "./backup_manifest.ts";
import { heldByDatabase, heldByFile, heldByWitnesses, publicKeysOf, type WitnessesAsked } from "./checkpoints_known.ts";
import { placed, print, say, told } from "./command_line.ts";
import { type Gap, gapOf, noteToKeep } from "./restore_gap.ts";
import { openPlace, type Place, settle, stage } from "./restore_place.ts";
import { checkedAsked, type SucceedAsked, type SucceedResult, succeedOn } from "./succeed_command.ts";

interface RestoreOptions {
  config: Config;
  /** A backup, or a copy of a database that was made before an upgrade. */
  from: string;
  replace: boolean;
  /** Begins a successor of the log. */
  succession: SucceedAsked | undefined;
}

/**
 * `server.js restore`: puts a backup in the place of a data directory, when every byte of it was looked at. NDJSON:
 * `{progress}` lines, then `{result}`. What is there is moved aside, never deleted. @throws UsageError
 */
export async function restore(args: string[]): Promise<number> {
  const options = readOptions(args);
  return told(async () => {
    const { from, config } = options;
    const is_copy = /^before-\d+\.db$/.test(basename(from)) && statSync(from, { throwIfNoEntry: false })?.isFile();
    if (is_copy !== true) return print({ result: await place(options) });
    // The keys and blobs beside it belong to it: together they are a backup.
    const made = join(dirname(config.data), `.${basename(config.data)}.copied-${process.pid}`);
    try {
      const store = { engine: "sqlite" as const };
      await makeBackup({ data: dirname(from), blobs: config.blobs, store, database: from }, made, say);
      print({ result: { ...(await place({ ...options, from: made })), from } });
    } finally {
      await rm(made, { recursive: true, force: true });
    }
  });
}

async function place({ config, from, replace, succession }: RestoreOptions) {
  const { manifest, bytes, audit } = await checkBackup(from, say);
  demandEngine(manifest, config, succession);
  const target = await openPlace(config.data, replace);
  try {
    const { asked, vkeys } = await ask(config, target, from);
    const gap = gapOf(manifest, asked, vkeys);
    // With PostgreSQL the successor is begun on the database, afterwards.
    const may_end = succession !== undefined || manifest.engine === "postgres";
    if (gap.state === "succeeded" && !may_end) throw successorThere(manifest, gap, config.data);
    const is_apart = config.blobs !== join(config.data, "blobs");
    await stage(target, { from, manifest, blobs: is_apart ? config.blobs : undefined }, say);
    const note = noteToKeep(manifest, asked.held);
    if (note !== undefined) await openPrivateFiles(target.staging, systemRandom()).replace(LATEST_FILE, note);
    const succeeded = succession === undefined ? null : await succeedStaged(config, target, asked, succession);
    const moved = await settle(target, systemClock().now());
    const backup = { ...summaryOf(manifest), bytes };
    return { data: config.data, from, backup, audited: audit !== null, moved: moved ?? null, gap, succeeded };
  } catch (error) {
    rmSync(target.staging, { recursive: true, force: true });
    throw error;
  } finally {
    target.release();
  }
}

/** Everybody who may remember more than the backup: the directory that it replaces, and the witnesses. */
async function ask(config: Config, { data, is_taken }: Place, from: string) {
  const vkeys = is_taken ? await publicKeysOf(data) : [];
  const of = " of the directory that was replaced";
  const remembered = is_taken ? [...(await heldByFile(data, of)), ...(await heldByDatabase(data, of))] : [];
  say("witnesses", 0, config.witnesses.length);
  const witnesses = await heldByWitnesses(config, [...vkeys, ...(await publicKeysOf(from))], systemClock());
  const asked: WitnessesAsked = { held: [...remembered, ...witnesses.held], silent: witnesses.silent };
  return { asked, vkeys };
}

/** In the staging directory: what gets the name is finished. */
function succeedStaged(
  config: Config,
  { staging }: Place,
  { held }: WitnessesAsked,
  succession: SucceedAsked,
): Promise<SucceedResult> {
  const is_apart = config.blobs !== join(config.data, "blobs");
  const blobs = is_apart ? config.blobs : join(staging, "blobs");
  return succeedOn({ store: config.store, data: staging, blobs }, held, succession);
}

/** @throws UsageError */
function demandEngine({ engine }: Manifest, { store }: Config, succession: SucceedAsked | undefined): void {
  if (engine !== store.engine) {
    const said = engine === "sqlite" ? "its own database" : "the files beside a PostgreSQL database";
    throw new UsageError(`The backup has ${said}, and the store that is configured is ${store.engine}.`);
  }
  if (engine === "postgres" && succession !== undefined) {
    throw new UsageError("With PostgreSQL, restore the files and the database first, then: gantry evidence succeed.");
  }
}

function successorThere({ log }: Manifest, { held }: Gap, data: string): UsageError {
  const now = held.find(({ origin }) => origin !== log?.origin)?.origin ?? "another";
  return new UsageError(
    `The log ${log?.origin} of the backup was ended, and ${now} in ${data} is its successor: the old name may not sign again. Restore it with --succeed --reason TEXT, which begins another successor.`,
  );
}

/** @throws UsageError */
function readOptions(args: string[]): RestoreOptions {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const options = { data: text, store: text, config: text, replace: flag, succeed: flag, reason: text, origin: text };
  try {
    const { values, positionals } = parseArgs({
      args,
      strict: true,
      allowPositionals: true,
      options: { ...options, actor: text },
    });
    const [from, ...more] = positionals;
    if (from === undefined || more.length > 0) throw new Error("restore takes one backup");
    if (values.succeed !== true && (values.reason ?? values.origin ?? values.actor) !== undefined) {
      throw new Error("--reason, --origin and --actor belong to --succeed");
    }
    return {
      config: readConfig(placed(values)),
      from: resolve(from),
      replace: values.replace === true,
      succession: values.succeed === true ? checkedAsked(values) : undefined,
    };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${(error as Error).message}. Options are --data DIR, --config FILE, --replace, --succeed.`);
  }
}
