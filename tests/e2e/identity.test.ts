import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Me, TenantSettings, Token } from "../../sdk/src/identity_types.ts";
import type { SigningKey } from "../../sdk/src/tasks.ts";
import { signTask } from "../../sdk/src/tasks.ts";
import type { Entry, Page, RunView } from "../../sdk/src/types.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { type PostgresServer, postgresMissing, startPostgres } from "../fixtures/postgres.ts";
import { problemOf } from "../fixtures/problem.ts";
import { cli } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

const TOKEN = /\bgtr_(hum|agt|svc|lnk)_[0-9A-Za-z]{36}\b/;

let home: string;
const servers: TestServer[] = [];
let postgres: PostgresServer | undefined;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "gantry-id-"));
  if (postgresMissing() === undefined) postgres = await startPostgres();
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.dispose();
});
afterAll(async () => {
  await rm(home, { recursive: true, force: true });
  await postgres?.remove();
});

async function started(args: string[] = []): Promise<TestServer> {
  const server = await startServer({ args, config: { log_level: "debug" } });
  servers.push(server);
  return server;
}
const linkOf = (server: TestServer) => /gtr_lnk_[0-9A-Za-z]{36}/.exec(server.printed)?.[0] ?? "";
const entriesOf = async (server: TestServer, kind: string) =>
  (await server.json<Page<Entry>>(`/v1/evidence/entries?kind=${kind}`)).items;

/** One command of a person beside the server. */
async function gantry(server: TestServer, ...words: string[]) {
  return cli([...words, "--data", server.data], { cwd: home });
}
async function asked<T>(server: TestServer, ...words: string[]): Promise<T> {
  const out = await gantry(server, ...words, "--json");
  expect(out.code, out.stderr).toBe(0);
  return JSON.parse(out.stdout) as T;
}

describe("who can decide", () => {
  it("is not who finds the token file, but who used the link that the first start printed, once", async () => {
    const server = await started();
    const file = await asked<Me>(server, "me");
    expect(file.scopes).not.toContain("gate:approve");
    expect(file.scopes).toContain("token:mint");
    const link = linkOf(server);
    const out = await gantry(server, "login", link);
    expect(out.code, out.stderr).toBe(0);
    expect(out.stderr).toContain("can approve in your name");
    expect(out.stdout + out.stderr).not.toMatch(TOKEN);
    expect((await stat(join(server.data, "login.json"))).mode & 0o777).toBe(0o600);
    const human = await asked<Me>(server, "me");
    expect(human).toMatchObject({ actor: file.actor, token: { kind: "hum" } });
    expect(human.scopes).toEqual(expect.arrayContaining(["gate:approve", "gate:break_glass"]));

    // The link is spent, the file's token is what it was, and an agent gets no part of it.
    await problemOf(await server.request("/v1/login", { token: null, json: { link } }), 410, "LOGIN_LINK_SPENT");
    const mint = await gantry(server, "tokens", "mint", "--actor", "local", "--scope", "gate:approve");
    expect(mint.code).toBe(3);
    expect(mint.stderr).toContain("SCOPE_NOT_GRANTABLE");

    await server.restart();
    expect(await asked<Me>(server, "me")).toMatchObject({ scopes: human.scopes });
    expect((await gantry(server, "logout")).stdout).toBe("Logged out.\n");
    expect((await asked<Me>(server, "me")).scopes).toEqual(file.scopes);
    const { items } = await asked<Page<Token>>(server, "tokens", "list");
    expect(items.map(({ state }) => state)).toEqual(["live", "revoked"]);
    expect(await entriesOf(server, "link.used")).toHaveLength(1);
  });

  it("is also who the operator makes a link for, on the store, while the server is stopped", async () => {
    const server = await started();
    const busy = await gantry(server, "admin", "login-link");
    expect(busy.code).toBe(2);
    expect(busy.stderr).toContain("A server runs on this data directory");
    await asked(server, "actors", "create", "--kind", "human", "--name", "Ada", "--subject", "ada@x");
    await server.stop();
    const out = await gantry(server, "admin", "login-link", "--actor", "ada@x", "--scope", "gate:approve");
    expect(out.code, out.stderr).toBe(0);
    expect(out.stdout).toMatch(/^gtr_lnk_[0-9A-Za-z]{36}\n$/);
    const nobody = await gantry(server, "admin", "login-link", "--actor", "bob");
    expect(nobody.code).toBe(2);
    await server.restart();
    expect((await gantry(server, "login", out.stdout.trim())).code).toBe(0);
    expect(await asked<Me>(server, "me")).toMatchObject({ actor: { name: "Ada" }, scopes: ["gate:approve"] });
    await gantry(server, "logout");
    const made = () => entriesOf(server, "link.made");
    await eventually(async () => (await made()).every(({ sealed }) => sealed), "both to be sealed");
    expect((await made()).map(({ actor }) => actor.length)).toEqual([1, 0]);
    await server.stop();
    const audit = await cli(["evidence", "audit", "--store", server.data], { cwd: home });
    expect(audit.code, audit.stdout).toBe(0);
  });

  it("with PostgreSQL, while servers run on it", async (context) => {
    need(context, "postgres", postgresMissing());
    const url = await postgres!.createDatabase();
    const server = await started(["--store", url]);
    const out = await gantry(server, "admin", "login-link", "--store", url);
    expect(out.code, out.stderr).toBe(0);
    expect((await gantry(server, "login", out.stdout.trim())).code).toBe(0);
    expect((await asked<Me>(server, "me")).scopes).toContain("gate:approve");
  });
});

describe("a signed task", () => {
  it("runs without a token, once; whoever sends it again learns the first run", async () => {
    const server = await started();
    await writeFile(join(home, "main.ts"), "export default (input) => ({ got: input })");
    const key_file = join(home, `${server.pid}.key`);
    await asked(server, "keys", "create", "-o", key_file, "--actor", "local");
    expect((await stat(key_file)).mode & 0o777).toBe(0o600);
    const submitted = await asked<RunView>(
      server,
      "tasks",
      "submit",
      "main.ts",
      "--key",
      key_file,
      "--input",
      '{"b":1,"a":2}',
    );
    expect(submitted).toMatchObject({ termination: "completed", result: { got: { b: 1, a: 2 } } });
    const [admitted] = await entriesOf(server, "run.admitted");
    expect(admitted?.actor.map(({ kind }) => kind)).toEqual(["human", "agent"]);

    const key = JSON.parse(await readFile(key_file, "utf8")) as SigningKey;
    const code = { source: "export default (n) => n + 1" };
    const task = await signTask(key, { code, input: 1 });
    const send = (body: object, token: string | null = null) =>
      server.request("/v1/runs", { token, json: { code, input: 1, task, ...body } });
    await problemOf(await send({ input: 2 }), 409, "TASK_HASH_MISMATCH");
    await problemOf(await send({ contract: "production" }), 409, "TASK_HASH_MISMATCH");
    const [first, second] = await Promise.all([send({}), send({})]);
    const [won, lost] = first.ok ? [first, second] : [second, first];
    const run = (await won.json()) as RunView;
    expect(run).toMatchObject({ termination: "completed", result: 2 });
    expect(await problemOf(lost, 409, "TASK_REPLAYED")).toMatchObject({ run: run.id });
    await problemOf(await server.request("/v1/runs", { token: null, json: { code, input: 1 } }), 401, "AUTH_REQUIRED");
    await problemOf(await send({ task: `${task.slice(0, -4)}AAAA` }), 401, "TASK_SIGNATURE");

    await gantry(server, "keys", "revoke", key.kid);
    const after = await signTask(key, { code, input: 1 });
    await problemOf(await send({ task: after }), 401, "TASK_SIGNATURE");
  });
});

describe("a setting that loosens", () => {
  it("waits for a human when an agent asks, and holds when they approved it", async () => {
    const server = await started();
    await asked(server, "tenants", "set", "run_ms_day=1000");
    expect((await gantry(server, "login", linkOf(server))).code).toBe(0);
    const minted = await asked<{ secret: string }>(
      ...([
        server,
        "tokens",
        "mint",
        "--actor",
        "local",
        "--scope",
        "contract:propose",
        "--scope",
        "contract:read",
      ] as const),
    );
    const patch = await server.request("/v1/tenant", {
      method: "PATCH",
      token: minted.secret,
      json: { run_ms_day: null },
      headers: { "if-match": '"2"' },
    });
    expect(patch.status).toBe(202);
    const { approval, statement_hash } = (await patch.json()) as { approval: string; statement_hash: string };
    const settings = async () => (await asked<{ settings: TenantSettings }>(server, "tenants", "show")).settings;
    expect((await settings()).run_ms_day).toBe(1_000);
    const approved = await gantry(server, "approve", approval, "--statement-hash", statement_hash);
    expect(approved.code, approved.stderr).toBe(0);
    expect((await settings()).run_ms_day).toBeNull();
    expect((await entriesOf(server, "tenant.changed")).at(-1)?.data).toMatchObject({ approval });
    expect((await entriesOf(server, "approval.executed")).at(-1)?.data).toMatchObject({ approval });
  });
});

it("no secret is in the log, the ledger, an export or a refusal", async () => {
  const server = await started();
  const link = linkOf(server);
  await gantry(server, "login", link);
  const minted = await asked<{ secret: string; id: string }>(server, "tokens", "mint", "--scope", "run:read");
  // The pattern finds what it looks for, where it is shown on purpose.
  expect(link).toMatch(TOKEN);
  const refusals: string[] = [];
  for (const token of [link, minted.secret, `${minted.secret}0`]) {
    for (const path of [`/v1/runs/${token}`, `/v1/actors/${token}`, `/v1/nothing/${token}`]) {
      refusals.push(await (await server.request(path, { token })).text());
    }
    refusals.push(await (await server.request("/v1/login", { token: null, json: { link: token } })).text());
  }
  await gantry(server, "tokens", "revoke", minted.id);
  const entries = JSON.stringify((await server.json<Page<Entry>>("/v1/evidence/entries?limit=200")).items);
  const bundle = join(home, "b.ndjson");
  const exported = await gantry(server, "evidence", "export", "--since", "1h", "-o", bundle);
  expect(exported.code, exported.stderr).toBe(0);
  expect(server.log.length).toBeGreaterThan(5);
  for (const [what, text] of Object.entries({
    log: server.log.join("\n"),
    entries,
    bundle: readFileSync(bundle, "utf8"),
  })) {
    expect(text, what).not.toMatch(TOKEN);
    for (const secret of [link, minted.secret, server.token]) expect(text, what).not.toContain(secret.slice(8));
  }
  // A path that was asked for comes back to who asked; nobody else's secret does.
  expect(refusals.join("\n")).not.toContain(server.token.slice(8));
});
