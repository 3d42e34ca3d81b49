import { isAbsolute, resolve } from "node:path";
import { z } from "zod";
import { type CheckpointSink, type Sender, WITNESSES_MAX } from "./evidence/contract.ts";
import { openWebhookSink } from "./evidence/witness/webhook.ts";
import type { Clock } from "./kernel/clock.ts";
import { sha256Hex } from "./kernel/hash.ts";
import { openFileSink } from "./storage/adapters/sink_file.ts";
import { openGitSink } from "./storage/adapters/sink_git.ts";

/** A witness as the config file names it. The address may hold a password: it is shown to nobody. */
export type WitnessChoice = { kind: "file" | "git" | "webhook"; address: string };

const ADDRESS_CHARS_MAX = 1_024;
const LOOPBACK = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])$/;
/** git's short form of ssh, `user@host:path`. */
const SHORT_SSH = /^[A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^-]/;

const RULE =
  "a witness is one of file: PATH, git: URL or PATH, webhook: URL; a URL is https:// (git: or ssh://, user@host:path), and " +
  `http:// only to this machine; none has more than ${ADDRESS_CHARS_MAX} characters`;
// Its message says nothing of the address, which may hold a password.
const addressOf = (fits: (text: string) => boolean) =>
  z.string(RULE).refine((text) => text.length > 0 && text.length <= ADDRESS_CHARS_MAX && fits(text), RULE);
const choice = z.union(
  [
    z.strictObject({ file: addressOf((text) => !/\p{Cc}/u.test(text)) }),
    z.strictObject({ git: addressOf(isRemote) }),
    z.strictObject({ webhook: addressOf(isSafeUrl) }),
  ],
  RULE,
);

/** The member `witnesses` of the config file. */
export const witness_list = z
  .array(choice)
  .max(WITNESSES_MAX, `there are at most ${WITNESSES_MAX} witnesses`)
  .refine((list) => new Set(list.map(sameness)).size === list.length, "a witness is named twice");

/** One witness has one name, whoever asks it. */
function sameness(one: z.infer<typeof choice>): string {
  const [[kind, text] = []] = Object.entries(one);
  return `${kind} ${text?.replace(/^(https?:\/\/)[^/@]*@/, "$1")}`;
}

/** @param base  the directory of the config file, absolute: paths are relative to it. */
export function witnessChoices(given: z.infer<typeof witness_list>, base: string): WitnessChoice[] {
  return given.map((one): WitnessChoice => {
    if ("file" in one) return { kind: "file", address: resolve(base, one.file) };
    if ("webhook" in one) return { kind: "webhook", address: one.webhook };
    const is_path = !one.git.includes("://") && !SHORT_SSH.test(one.git);
    return { kind: "git", address: is_path ? resolve(base, one.git) : one.git };
  });
}

export interface SinkParts {
  clock: Clock;
  /** The data directory, in which git has its clones. */
  data: string;
  /** What copies for webhooks leave by. */
  sender: Sender;
}

/** The sinks of what was chosen. Two paths to one place are one: the second is left out. */
export function openSinks(choices: WitnessChoice[], { clock, data, sender }: SinkParts): CheckpointSink[] {
  const sinks = choices.map(({ kind, address }): CheckpointSink => {
    if (kind === "file") return openFileSink(address);
    if (kind === "webhook") return openWebhookSink({ name: webhookName(address), url: address, sender });
    const directory = resolve(data, "witnesses", sha256Hex(address).slice(0, 16));
    return openGitSink({ url: address, directory, clock });
  });
  return [...new Map(sinks.map((sink) => [sink.name, sink])).values()];
}

/** The host, and where there are several paths of it a mark: paths of webhooks are often the secret itself. */
function webhookName(address: string): string {
  const url = new URL(address);
  url.username = "";
  url.password = "";
  return `webhook:${url.origin}#${sha256Hex(url.href).slice(0, 8)}`;
}

function isSafeUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === "https:" || (protocol === "http:" && LOOPBACK.test(hostname));
}

function isRemote(text: string): boolean {
  if (/\p{Cc}/u.test(text) || text === "" || text.startsWith("-")) return false;
  if (/^https?:\/\//.test(text)) return isSafeUrl(text);
  if (text.startsWith("ssh://")) return URL.canParse(text) && /^[A-Za-z0-9]/.test(new URL(text).hostname);
  // `ext::` and other helpers of git are no addresses.
  return isAbsolute(text) || SHORT_SSH.test(text) || !text.includes(":");
}
