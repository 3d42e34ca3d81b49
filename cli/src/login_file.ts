import { createHash } from "node:crypto";
import { lstat, mkdir, readFile, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { usage } from "./failure.ts";
import { reasonOf } from "./input.ts";
import { writeOut } from "./out_file.ts";
import type { Terminal } from "./terminal.ts";

const OTHERS = 0o077;
const FILE_BYTES_MAX = 16_384;

/** What `gantry login` keeps, mode 0600. */
export interface StoredLogin {
  /** The server that it is for, of a login that is not kept in a data directory; the token is sent nowhere else. */
  url?: string;
  token: string;
  /** Of the token, for `gantry logout`. */
  id: string;
  /** Milliseconds UTC. */
  expires_at: number;
  actor: string;
}

/** In the data directory, beside `owner.token`: it goes with the directory. */
export function localLogin(data: string): string {
  return join(data, "login.json");
}

/** Of a server elsewhere: `$XDG_CONFIG_HOME/gantry/logins`, else `~/.config/gantry/logins`, by the URL's hash. */
export function remoteLogin(url: string, env: Terminal["env"]): string {
  const config = env["XDG_CONFIG_HOME"] || join(env["HOME"] || homedir(), ".config");
  const name = createHash("sha256").update(url).digest("hex").slice(0, 16);
  return join(config, "gantry", "logins", `${name}.json`);
}

/**
 * The login that is kept there, if it has not expired.
 * @throws Failure exit 2 when others may read it: then it is not one's own any more.
 */
export async function readLogin(path: string, now: number, url?: string): Promise<StoredLogin | undefined> {
  const stat = await lstat(path).catch(() => undefined);
  if (stat === undefined || !stat.isFile() || stat.size > FILE_BYTES_MAX) return undefined;
  if ((stat.mode & OTHERS) !== 0) {
    throw usage(`${path} can be read by others, so whoever did is you: end it with gantry logout, and log in again.`);
  }
  const login = parsed(await readFile(path, "utf8").catch(() => ""));
  if (login === undefined || login.expires_at <= now || login.url !== url) return undefined;
  return login;
}

/** @throws Failure exit 2 when it cannot be kept. */
export async function writeLogin(path: string, login: StoredLogin, io: Pick<Terminal, "cwd">): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw usage(`${dirname(path)} cannot be made: ${reasonOf(error)}.`);
  });
  const text = `${JSON.stringify(login)}\n`;
  await writeOut(
    path,
    (async function* () {
      yield text;
    })(),
    io,
    0o600,
  );
}

export async function removeLogin(path: string): Promise<void> {
  await rm(path, { force: true });
}

function parsed(text: string): StoredLogin | undefined {
  try {
    const value = JSON.parse(text) as Partial<StoredLogin> | null;
    const { token, id, expires_at, actor } = value ?? {};
    const whole = [token, id, actor].every((each) => typeof each === "string") && typeof expires_at === "number";
    return whole ? (value as StoredLogin) : undefined;
  } catch {
    // Not ours, or half of it: as good as none.
    return undefined;
  }
}
