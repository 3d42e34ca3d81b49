import type { Me } from "@gantry/sdk";
import { type Command, command } from "../arguments.ts";
import { connect, connectAsNobody, data_arg, json_arg, placeOf } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { readLogin, removeLogin, writeLogin } from "../login_file.ts";
import type { Terminal } from "../terminal.ts";
import { instant, oneLine, paintFor, wrap } from "../text.ts";

const WHO_DECIDES =
  "Whoever can read this file is you and can approve in your name: a program that runs as the same user can. " +
  "Let agents run as another user, or elsewhere; gantry logout ends it.";

/** `gantry login LINK` */
export function loginCommand(io: Terminal): Command {
  return command({
    summary: "log in as a human, to decide what takes one",
    args: {
      link: {
        type: "positional",
        required: true,
        description: "a login link, gtr_lnk_…, or - to read it from standard input",
      },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "A link works once, for 15 minutes: the first gantry up prints one, gantry admin login-link makes more. The login " +
        "holds for 12 hours.",
      "It is kept with mode 0600: login.json in the data directory, or under $XDG_CONFIG_HOME/gantry/logins for the " +
        "server that GANTRY_URL names. GANTRY_TOKEN wins over it, and it over owner.token.",
      WHO_DECIDES,
    ],
    examples: [
      ["gantry login gtr_lnk_…", "on the machine where the server runs"],
      ["GANTRY_URL=https://gantry.example gantry login -", "elsewhere, the link typed and not in the shell's history"],
    ],
    async run(given) {
      const link = (given.link === "-" ? await io.stdin() : given.link).trim();
      if (!link.startsWith("gtr_lnk_")) throw usage("A login link begins with gtr_lnk_; this is something else.");
      const place = await placeOf(given.data, io);
      const login = await (await connectAsNobody(given.data, io)).session.login(link);
      const { token, actor, scopes } = login;
      const url = place.data === undefined ? { url: place.url } : {};
      const { secret, id, expires_at } = token;
      await writeLogin(place.login, { ...url, token: secret, id, expires_at, actor }, io);
      if (given.json === true) {
        io.stdout.write(`${JSON.stringify({ actor, tenant: login.tenant, scopes, expires_at, file: place.login })}\n`);
      } else {
        const kept = `Kept in ${place.login} (mode 0600).`;
        io.stdout.write(`Logged in as ${oneLine(actor)} until ${instant(expires_at)}.\n`);
        io.stderr.write(`${wrap(`${kept} ${WHO_DECIDES}`, Math.min(100, io.stderr.columns))}\n`);
      }
      return EXIT.completed;
    },
  });
}

/** `gantry logout` */
export function logoutCommand(io: Terminal): Command {
  return command({
    summary: "end your login, here and on the server",
    args: { ...data_arg, ...json_arg },
    examples: [["gantry logout", "its token is revoked, with all that it minted"]],
    async run(given) {
      const place = await placeOf(given.data, io);
      const kept = await readLogin(place.login, Date.now(), place.data === undefined ? place.url : undefined).catch(
        () => undefined,
      );
      let revoked = 0;
      // First the server: a file that is gone while its token lives could not be ended any more.
      if (kept !== undefined) {
        revoked = await (
          await connect(given.data, { ...io, env: { ...io.env, GANTRY_TOKEN: kept.token } })
        ).tokens.revoke(kept.id);
      }
      await removeLogin(place.login);
      if (given.json === true) io.stdout.write(`${JSON.stringify({ revoked })}\n`);
      else io.stdout.write(kept === undefined ? "You were not logged in.\n" : "Logged out.\n");
      return EXIT.completed;
    },
  });
}

/** `gantry me` */
export function meCommand(io: Terminal): Command {
  return command({
    summary: "who the server says that you are, and what you may do",
    args: { ...data_arg, ...json_arg },
    examples: [
      ["gantry me", "tenant, actor, chain, scopes"],
      ["gantry me --json | jq -r .instance", "the audience of signed tasks"],
    ],
    async run(given) {
      const me = await (await connect(given.data, io)).session.me();
      if (given.json === true) io.stdout.write(`${JSON.stringify(me)}\n`);
      else io.stdout.write(meText(me, io));
      return EXIT.completed;
    },
  });
}

function meText(me: Me, io: Terminal): string {
  const paint = paintFor(io.stdout, io.env);
  const { actor, tenant, chain, scopes, token, instance } = me;
  const width = Math.min(100, io.stdout.columns);
  const rows: [string, string][] = [
    ["tenant", `${tenant.slug} (${tenant.id})`],
    ["chain", chain.map((link) => `${link.name} (${link.kind}, by ${link.via})`).join(" -> ")],
    ["scopes", scopes.join(" ") || "none"],
    ["until", token === null ? "this request" : instant(token.expires_at)],
    ["instance", instance],
  ];
  const head = `${paint("bold", oneLine(actor.name))} ${actor.kind}, ${actor.id}${actor.team === null ? "" : `, team ${oneLine(actor.team)}`}`;
  const indent = " ".repeat(12);
  const lines = rows.map(([name, value]) => {
    return `  ${paint("dim", name.padEnd(8))}  ${wrap(oneLine(value), width, indent).slice(indent.length)}`;
  });
  const decides = scopes.includes("gate:approve")
    ? "You decide as a human."
    : "You decide nothing that takes a human: gantry login LINK does.";
  return `${[head, ...lines, "", decides].join("\n")}\n`;
}
