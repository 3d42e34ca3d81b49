import { mkdir, rm } from "node:fs/promises";
import { assert } from "../../kernel/assert.ts";
import type { Clock } from "../../kernel/clock.ts";
import { GIT_CLONE_COPIES_MAX, SINK_NOTE_BYTES_MAX } from "../contract.ts";
import { GitFailure, type GitPlace, runGit } from "./git_process.ts";
import { headOf, largerThan } from "./note_head.ts";

/** At most one commit in this time. */
const EVERY_MS = 10_000;
const BRANCH = "refs/heads/checkpoints";
/** Where the clone keeps what the remote's branch was at the last look. */
const TIP = "refs/witness/tip";
const FILE = "checkpoint";
const AUTHOR = "Gantry";
const EMAIL = "gantry@localhost";
/** Answers git's question with what only the environment holds: an argument could be read by every user. */
const HELPER =
  'credential.helper=!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$GANTRY_GIT_USER" "$GANTRY_GIT_PASSWORD"; }; f';

export interface GitSinkOptions {
  /** As git knows it; what is secret in it never reaches an argument, a name, a log. */
  url: string;
  /** Of the working clone, absolute: made anew at the first use, since the remote alone is the truth. */
  directory: string;
  clock: Clock;
  /** How many copies a clone serves, default `GIT_CLONE_COPIES_MAX`. */
  copies_max?: number;
}

/**
 * A git remote as a witness: one commit for each copy on the branch `checkpoints`, with the note in the file
 * `checkpoint`. What others put there stays, and nothing is ever forced: each commit stands on the remote's newest, and
 * a remote that has gone on meanwhile refuses the push. Fills the port `CheckpointSink` of evidence/.
 */
export function openGitSink(options: GitSinkOptions) {
  const sink = new GitSink(options);
  return {
    name: sink.name,
    every_ms: EVERY_MS,
    tells: true,
    /** @throws GitFailure */
    newest: (signal: AbortSignal) => sink.newest(signal),
    /** @throws GitFailure */
    publish: (copy: { note: string; size: number }, signal: AbortSignal) => sink.publish(copy, signal),
  };
}

class GitSink {
  readonly name: string;
  readonly #url: string;
  readonly #clock: Clock;
  readonly #place: GitPlace;
  readonly #copies_max: number;
  /** What the clone has served; undefined before there is one. */
  #copies: number | undefined;
  /** One after the other: there is one clone. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor({ url, directory, clock, copies_max = GIT_CLONE_COPIES_MAX }: GitSinkOptions) {
    const { clean, user, password } = withoutSecrets(url);
    this.name = `git:${clean}`;
    this.#url = clean;
    this.#clock = clock;
    this.#copies_max = copies_max;
    const secrets = [user, password].filter((secret) => secret !== "");
    this.#place = {
      directory,
      clock,
      settings: secrets.length === 0 ? [] : [HELPER],
      env: { GANTRY_GIT_USER: user, GANTRY_GIT_PASSWORD: password },
      secrets,
      protocols: clean.startsWith("http:") ? "file:https:ssh:http" : "file:https:ssh",
    };
  }

  newest(signal: AbortSignal): Promise<string | undefined> {
    return this.#inTurn(async () => {
      await this.#fresh(signal);
      return this.#noteAt(await this.#fetch(signal), signal);
    });
  }

  publish(copy: { note: string; size: number }, signal: AbortSignal): Promise<number> {
    assert(Buffer.byteLength(copy.note) <= SINK_NOTE_BYTES_MAX, "a checkpoint's note is small");
    return this.#inTurn(async () => {
      await this.#fresh(signal);
      const tip = await this.#fetch(signal);
      const held = await this.#noteAt(tip, signal);
      // Pushed by an attempt whose answer was lost.
      if (held === copy.note) return copy.size;
      const larger = largerThan(copy, held);
      if (larger !== undefined) return larger;
      this.#copies = (this.#copies ?? 0) + 1;
      const commit = await this.#commit(copy, tip, signal);
      await this.#git(["push", "--quiet", "--no-verify", "--", this.#url, `${commit}:${BRANCH}`], signal);
      return copy.size;
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work, work);
    this.#turn = mine.catch(() => {}); // whoever waits for it sees it
    return mine;
  }

  async #git(args: string[], signal: AbortSignal, input?: string): Promise<string> {
    return (await runGit(this.#place, args, signal, input)).toString("utf8");
  }

  /** A clone is cheap, and one that is made anew neither grows nor keeps what a killed process left half done. */
  async #fresh(signal: AbortSignal): Promise<void> {
    if (this.#copies !== undefined && this.#copies < this.#copies_max) return;
    const { directory } = this.#place;
    this.#copies = undefined;
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await this.#git(["init", "--quiet", "--bare", "--template=", "--", directory], signal);
    this.#copies = 0;
  }

  /** The commit at the end of the remote's branch, without its history; undefined while there is no branch. */
  async #fetch(signal: AbortSignal): Promise<string | undefined> {
    try {
      const refs = `+${BRANCH}:${TIP}`;
      await this.#git(["fetch", "--quiet", "--no-tags", "--depth=1", "--", this.#url, refs], signal);
    } catch (error) {
      if (!(error instanceof GitFailure) || !/^fatal: couldn't find remote ref /m.test(error.said)) throw error;
      await this.#git(["update-ref", "-d", TIP], signal);
      return undefined;
    }
    return (await this.#git(["rev-parse", "--verify", `${TIP}^{commit}`], signal)).trim();
  }

  async #noteAt(tip: string | undefined, signal: AbortSignal): Promise<string | undefined> {
    if (tip === undefined) return undefined;
    const listed = await this.#git(["ls-tree", "-z", tip, "--", FILE], signal);
    const blob = /^100\d{3} blob ([0-9a-f]{40,64})\t/.exec(listed)?.[1];
    return blob === undefined ? undefined : this.#git(["cat-file", "blob", blob], signal);
  }

  /** A commit on `tip` that differs from it in our one file. Only the top of its tree is read: a tree can be a bomb. */
  async #commit(copy: { note: string }, tip: string | undefined, signal: AbortSignal): Promise<string> {
    const blob = (await this.#git(["hash-object", "-w", "--stdin"], signal, copy.note)).trim();
    const there = tip === undefined ? "" : await this.#git(["ls-tree", "-z", tip], signal);
    const others = there.split("\0").filter((line) => line !== "" && !line.endsWith(`\t${FILE}`));
    const lines = [...others, `100644 blob ${blob}\t${FILE}`].map((line) => `${line}\0`).join("");
    const tree = (await this.#git(["mktree", "-z"], signal, lines)).trim();
    const parent = tip === undefined ? [] : ["-p", tip];
    const at = `${Math.floor(this.#clock.now() / 1_000)} +0000`;
    const names = { GIT_AUTHOR_NAME: AUTHOR, GIT_AUTHOR_EMAIL: EMAIL, GIT_AUTHOR_DATE: at };
    const env = { ...names, GIT_COMMITTER_NAME: AUTHOR, GIT_COMMITTER_EMAIL: EMAIL, GIT_COMMITTER_DATE: at };
    const place = { ...this.#place, env: { ...this.#place.env, ...env } };
    const message = `checkpoint ${headOf(copy.note)?.size ?? ""}\n`;
    return (await runGit(place, ["commit-tree", tree, ...parent], signal, message)).toString("utf8").trim();
  }
}

/** A URL without user and password where these are secret; of ssh the user is part of the address. */
function withoutSecrets(url: string): { clean: string; user: string; password: string } {
  const kind = /^(https?|ssh):\/\//.exec(url)?.[1];
  if (kind === undefined) return { clean: url, user: "", password: "" };
  const parsed = new URL(url);
  const { username, password } = parsed;
  parsed.password = "";
  if (kind === "ssh") return { clean: parsed.href, user: "", password: "" }; // ssh asks for passwords itself, or not at all
  parsed.username = "";
  return { clean: parsed.href, user: decodeURIComponent(username), password: decodeURIComponent(password) };
}
