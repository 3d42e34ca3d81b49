import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { parse } from "yaml";
import { z } from "zod";
import { type EgressChoice, egress_member, egressChoice } from "./egress_choice.ts";
import { ORIGIN_CHARS_MAX } from "./evidence/contract.ts";
import { isNoteName } from "./evidence/log/note.ts";
import {
  LOG_FILE_BYTES,
  LOG_FILE_BYTES_MAX,
  LOG_FILE_BYTES_MIN,
  LOG_FILES_KEPT,
  LOG_FILES_KEPT_MAX,
} from "./http/contract.ts";
import { nearestName } from "./http/problems.ts";
import { NODE_SILENT_MS, NODE_SILENT_MS_MAX, NODE_SILENT_MS_MIN } from "./intent/contract.ts";
import { type TlsChoice, tls_member, tlsChoice } from "./tls_pair.ts";
import { type WitnessChoice, witness_list, witnessChoices } from "./witness_choice.ts";

/** Where state and evidence are kept. The URL may hold a password: it is shown to nobody. */
export type StoreChoice = { engine: "sqlite" } | { engine: "postgres"; url: string };

/** What the process was started with: options win over the config file, which wins over these defaults. */
export interface Config {
  /** Absolute. */
  data: string;
  store: StoreChoice;
  host: string;
  port: number;
  /** Undefined: HTTP without TLS. */
  tls: TlsChoice | undefined;
  /** Absolute. Where blobs are, which all nodes of one database share. */
  blobs: string;
  /** How long this node may be silent before the others of its database take what it has. */
  node_silent_ms: number;
  /** Primed runners kept ready. */
  warm_runners: number;
  /** Runners that boot at the same time. */
  concurrent_boots: number;
  /** Keyed processes of this node: those of pooled and session runs, with and without a run. */
  bound_runners: number;
  /** CPU priority (as nice(1)) of runs that go on for long; 0: that of all others. Takes root. */
  long_run_nice: number;
  /** Runs that hold a slot at the same time. */
  slots: number;
  /** Sum of the memory classes of all runs that hold a slot. */
  slots_memory_mb: number;
  /** The uid that guests run under when Gantry is root. */
  runner_uid: number;
  insecure_no_jail: boolean;
  /** Absolute paths of contract documents for tenant `default`. */
  contracts: string[];
  /** What a new log is called, and the name of its keys; undefined: a random one. */
  log_origin: string | undefined;
  /** Where copies of checkpoints go. */
  witnesses: WitnessChoice[];
  egress: EgressChoice;
  /** Notices may go to addresses that are not public ones, and in clear text. */
  webhooks_private: boolean;
  /** How long a stop waits for running runs. */
  drain_ms: number;
  log_level: "debug" | "info" | "warn" | "error";
  /** Where log lines go; undefined: to stderr. `path` is absolute. */
  log_file: { path: string; bytes_max: number; kept: number } | undefined;
  /** Where to write one JSON line when the server is ready. */
  ready_fd: number | undefined;
}

export class UsageError extends Error {}

const cores = availableParallelism();
const MB = 1024 * 1024;

const log_file_member = z.strictObject({
  path: z.string().min(1),
  bytes_max: z.int().min(LOG_FILE_BYTES_MIN).max(LOG_FILE_BYTES_MAX).default(LOG_FILE_BYTES),
  kept: z.int().min(1).max(LOG_FILES_KEPT_MAX).default(LOG_FILES_KEPT),
});

const file = z.strictObject({
  data: z.string().optional(),
  host: z.string().optional(),
  port: z.int().min(0).max(65_535).optional(),
  tls: tls_member.optional(),
  store: z.string().optional(),
  blobs: z.string().min(1).optional(),
  node_silent_ms: z.int().min(NODE_SILENT_MS_MIN).max(NODE_SILENT_MS_MAX).optional(),
  warm_runners: z.int().min(0).max(64).optional(),
  concurrent_boots: z.int().min(1).max(64).optional(),
  bound_runners: z.int().min(1).max(1_024).optional(),
  long_run_nice: z.int().min(0).max(19).optional(),
  slots: z.int().min(1).max(1_024).optional(),
  slots_memory_mb: z.int().min(128).optional(),
  runner_uid: z.int().min(1).max(4_294_967_294).optional(),
  insecure_no_jail: z.boolean().optional(),
  contracts: z.array(z.string()).max(1_000).optional(),
  log_origin: z
    .string()
    .refine(isNoteName, `a log's name has 1 to ${ORIGIN_CHARS_MAX} characters, no space and no plus`)
    .optional(),
  witnesses: witness_list.optional(),
  egress: egress_member.optional(),
  webhooks_private: z.boolean().optional(),
  drain_ms: z.int().min(0).max(900_000).optional(),
  log_level: z.enum(["debug", "info", "warn", "error"]).optional(),
  log_file: log_file_member.optional(),
});

/** @throws UsageError with a sentence that names the option or the place in the config file. */
export function readConfig(args: string[]): Config {
  const options = readOptions(args);
  const from_file = options.config === undefined ? {} : readConfigFile(resolve(options.config));
  const data = resolve(options.data ?? from_file.data ?? process.env["GANTRY_DATA"] ?? ".gantry");
  return {
    data,
    blobs: from_file.blobs ?? join(data, "blobs"),
    node_silent_ms: from_file.node_silent_ms ?? NODE_SILENT_MS,
    store: storeOf(options.store ?? from_file.store ?? process.env["GANTRY_STORE"] ?? "sqlite"),
    host: from_file.host ?? "127.0.0.1",
    port: options.port === undefined ? (from_file.port ?? 4280) : portOf(options.port),
    tls: tlsChoice(from_file.tls, resolve(options.config ?? ".")),
    warm_runners: from_file.warm_runners ?? 4,
    concurrent_boots: from_file.concurrent_boots ?? cores,
    bound_runners: from_file.bound_runners ?? 32,
    long_run_nice: from_file.long_run_nice ?? 10,
    slots: from_file.slots ?? 4 * cores,
    slots_memory_mb: from_file.slots_memory_mb ?? Math.floor(totalmem() / 2 / MB),
    runner_uid: from_file.runner_uid ?? 65_534,
    insecure_no_jail: options["insecure-no-jail"] ?? from_file.insecure_no_jail ?? false,
    contracts: from_file.contracts ?? [],
    log_origin: from_file.log_origin,
    witnesses: witnessChoices(from_file.witnesses ?? [], dirname(resolve(options.config ?? "."))),
    egress: egressChoice(from_file.egress, resolve(options.config ?? ".")),
    webhooks_private: from_file.webhooks_private ?? false,
    drain_ms: from_file.drain_ms ?? 10_000,
    log_level: from_file.log_level ?? "info",
    log_file: from_file.log_file,
    ready_fd: options["ready-fd"] === undefined ? undefined : Number(options["ready-fd"]),
  };
}

function readOptions(args: string[]) {
  try {
    const { values } = parseArgs({
      args,
      strict: true,
      options: {
        data: { type: "string" },
        port: { type: "string" },
        store: { type: "string" },
        config: { type: "string" },
        "insecure-no-jail": { type: "boolean" },
        "ready-fd": { type: "string" },
      },
    });
    return values;
  } catch (error) {
    throw new UsageError(
      `${(error as Error).message}. Options are --data DIR, --port N, --store sqlite|postgres://…, --config FILE.`,
    );
  }
}

function storeOf(text: string): StoreChoice {
  if (text === "sqlite") return { engine: "sqlite" };
  if (/^postgres(ql)?:\/\//.test(text)) return { engine: "postgres", url: text };
  // What looks like a URL may hold a password.
  const said = text.includes(":") ? `${text.slice(0, text.indexOf(":"))}:…` : text;
  throw new UsageError(`The store ${said} is not known. It is sqlite, or postgres://user@host:port/database.`);
}

function portOf(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new UsageError(`--port ${text} is not a number from 0 to 65535.`);
  return port;
}

/** One line for each thing that is wrong, indented. A member that is not known names the one that was meant. */
function faultsOf(issue: z.core.$ZodIssue): string[] {
  if (issue.code !== "unrecognized_keys") return [`  ${issue.path.join(".") || "(top)"}: ${issue.message}`];
  return issue.keys.map((key) => {
    const meant = issue.path.length === 0 ? nearestName(key, Object.keys(file.shape)) : undefined;
    const hint = meant === undefined ? "docs/operating.md lists what there is" : `did you mean ${meant}?`;
    return `  ${[...issue.path, key].join(".")}: is no member of the config file; ${hint}`;
  });
}

function readConfigFile(path: string): z.infer<typeof file> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`The config file cannot be read: ${(error as Error).message}.`);
  }
  let document: unknown;
  try {
    document = parse(text, { maxAliasCount: 0 }) ?? {};
  } catch (error) {
    throw new UsageError(`${path} is not YAML: ${(error as Error).message}`);
  }
  const parsed = file.safeParse(document);
  if (!parsed.success) {
    throw new UsageError(`${path} is not a valid config file:\n${parsed.error.issues.flatMap(faultsOf).join("\n")}`);
  }
  const contracts = parsed.data.contracts?.map((name) => resolve(dirname(path), name));
  const { blobs, log_file } = parsed.data;
  return {
    ...parsed.data,
    ...(log_file === undefined ? {} : { log_file: { ...log_file, path: resolve(dirname(path), log_file.path) } }),
    ...(contracts === undefined ? {} : { contracts }),
    ...(blobs === undefined ? {} : { blobs: resolve(dirname(path), blobs) }),
  };
}
