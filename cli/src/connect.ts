import { readFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { Gantry } from "@gantry/sdk";
import { typeThis, usage } from "./failure.ts";
import { localLogin, readLogin, remoteLogin } from "./login_file.ts";
import type { Terminal } from "./terminal.ts";

/** Where `gantry up` keeps everything unless told otherwise. */
const DATA_DEFAULT = "./.gantry";

/** The flag that every command has which talks to a server. */
export const data_arg = {
  data: {
    type: "string",
    valueHint: "DIR",
    description: `the server's data directory (default GANTRY_DATA, else ${DATA_DEFAULT})`,
  },
} as const;

/** The flag of the commands that open the store themselves. */
export const store_arg = {
  store: {
    type: "string",
    valueHint: "sqlite|URL",
    description: "where state and evidence are kept: sqlite, or postgres://… (default GANTRY_STORE, else sqlite)",
  },
} as const;

/** The flag that every command has. */
export const json_arg = {
  json: { type: "boolean", description: "print JSON instead of text, on standard output" },
} as const;

/** The data directory, absolute: the flag, else `GANTRY_DATA`, else `./.gantry`. */
export function dataDirectory(flag: string | undefined, io: Pick<Terminal, "env" | "cwd">): string {
  return resolve(io.cwd, flag ?? (io.env["GANTRY_DATA"] || DATA_DEFAULT));
}

/** Which server is meant, and where a login to it is kept. */
export interface Place {
  url: string;
  login: string;
  /** The data directory that it runs on; undefined for a server that `GANTRY_URL` names. */
  data: string | undefined;
}

/**
 * The server that is meant: that of `GANTRY_URL`, else the one that runs on the data directory (`server.json` names its
 * URL). An explicit `--data` wins.
 * @throws Failure exit 2 with the command that starts one.
 */
export async function placeOf(flag: string | undefined, io: Pick<Terminal, "env" | "cwd">): Promise<Place> {
  const url = flag === undefined ? io.env["GANTRY_URL"] : undefined;
  if (url) return { url, login: remoteLogin(url, io.env), data: undefined };
  const data = dataDirectory(flag, io);
  return { url: await localUrl(data, io.cwd), login: localLogin(data), data };
}

/**
 * A client of the server that is meant, with the first of these: `GANTRY_TOKEN`; what `gantry login` has kept for this
 * server and has not expired; the owner's token in the data directory. The last two are sent to no other server.
 * @throws Failure exit 2 with the command that starts one.
 */
export async function connect(flag: string | undefined, io: Pick<Terminal, "env" | "cwd">): Promise<Gantry> {
  const { url, login, data } = await placeOf(flag, io);
  const token = io.env["GANTRY_TOKEN"];
  if (token) return client(url, token);
  const kept = await readLogin(login, Date.now(), data === undefined ? url : undefined);
  if (kept !== undefined) return client(url, kept.token);
  if (data !== undefined) return client(url, await ownerToken(data, io.cwd));
  throw usage("GANTRY_URL is set, but GANTRY_TOKEN is not: the server at that URL needs a token.", {
    next_steps: [
      { kind: "change", text: "Set GANTRY_TOKEN, or unset GANTRY_URL to use the local server" },
      typeThis("Or log in there, with a link that its operator gives you", "npx gantry login LINK"),
    ],
  });
}

/** A client without a token: for logins, and for what is signed. */
export async function connectAsNobody(flag: string | undefined, io: Pick<Terminal, "env" | "cwd">): Promise<Gantry> {
  return client((await placeOf(flag, io)).url, undefined);
}

function client(url: string, token: string | undefined): Gantry {
  try {
    return new Gantry({ url, token });
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
}

async function localUrl(data: string, cwd: string): Promise<string> {
  const text = await contentOf(join(data, "server.json"));
  if (text === undefined) {
    const shown = relative(cwd, data) || ".";
    throw usage(`No Gantry server runs on the data directory ${shown}.`, {
      next_steps: [
        typeThis(
          "Start one in another terminal",
          `npx gantry up${data === resolve(cwd, DATA_DEFAULT) ? "" : ` --data ${shown}`}`,
        ),
        { kind: "change", text: "Or set GANTRY_URL and GANTRY_TOKEN to use one that runs elsewhere" },
      ],
    });
  }
  try {
    const { url } = JSON.parse(text) as { url?: unknown };
    if (typeof url === "string") return url;
  } catch {
    // Falls through to the sentence below: a half-written file is one case of it.
  }
  throw usage(`${relative(cwd, join(data, "server.json"))} does not name a URL; restart the server that wrote it.`);
}

async function ownerToken(data: string, cwd: string): Promise<string> {
  const token = await contentOf(join(data, "owner.token"));
  if (token !== undefined) return token.trim();
  throw usage(`There is no ${relative(cwd, join(data, "owner.token"))} that you may read.`, {
    next_steps: [{ kind: "change", text: "Set GANTRY_TOKEN to a token of your own" }],
  });
}

/** Absent and unreadable are the same to a client: it cannot use the file. */
async function contentOf(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch(() => undefined);
}
