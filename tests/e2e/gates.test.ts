import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Approval } from "../../sdk/src/approval_types.ts";
import { type SigningKey, signCode, signTask } from "../../sdk/src/tasks.ts";
import type { ProblemDocument, RunRequest, RunView } from "../../sdk/src/types.ts";
import { eventually } from "../fixtures/eventually.ts";
import { cli, type Finished, startCli } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

/** The whole story from outside: an agent asks, people decide about exactly what they were shown, and the ledger has all of it. */

let server: TestServer;
let home: string;
let agent_token: string;
let key: SigningKey;
const SOURCE = "export default (input) => ({ doubled: input.n * 2 });\n";

type Who = Record<string, string | undefined>;
const nobody = (): Who => ({ GANTRY_URL: server.url, GANTRY_TOKEN: undefined, XDG_CONFIG_HOME: join(home, "nobody") });
const agent = (): Who => ({ ...nobody(), GANTRY_TOKEN: agent_token });
const file_token = (): Who => ({ ...nobody(), GANTRY_TOKEN: server.token });
/** Logged in by a link; nothing but that. */
let human_token: string | undefined;
const human = (): Who => ({ ...nobody(), GANTRY_TOKEN: human_token, XDG_CONFIG_HOME: join(home, "human") });
const run = (who: Who, ...words: string[]): Promise<Finished> => cli(words, { cwd: home, env: who });
async function said<T>(who: Who, ...words: string[]): Promise<T> {
  const out = await run(who, ...words, "--json");
  expect([0, 3], out.stderr).toContain(out.code);
  return JSON.parse(out.stdout) as T;
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "gantry-gates-"));
  await writeFile(join(home, "main.ts"), SOURCE);
  server = await startServer();
  const [link = ""] = /gtr_lnk_[0-9A-Za-z]{36}/.exec(server.printed) ?? [];
  expect((await run(human(), "login", link)).code).toBe(0);
  // A later start of the server has another URL, for which nobody has logged in.
  const [login = ""] = await readdir(join(home, "human", "gantry", "logins"));
  const kept = JSON.parse(await readFile(join(home, "human", "gantry", "logins", login), "utf8")) as { token: string };
  human_token = kept.token;
  const scopes = ["run:submit", "run:read", "run:cancel", "gate:read", "contract:read", "contract:propose"];
  const minted = await run(
    file_token(),
    "tokens",
    "mint",
    "--actor",
    "local",
    ...scopes.flatMap((one) => ["--scope", one]),
  );
  agent_token = minted.stdout.trim();
  const made = await run(file_token(), "keys", "create", "-o", "agent.key", "--actor", "local");
  expect(made.code, made.stderr).toBe(0);
  key = JSON.parse(await readFile(join(home, "agent.key"), "utf8")) as SigningKey;
});
afterAll(async () => {
  await server.dispose();
  await rm(home, { recursive: true, force: true });
});

const request = (more: Partial<RunRequest> = {}): RunRequest => ({
  code: { source: SOURCE },
  input: { n: 21 },
  contract: "production",
  target: "production",
  why: "fix 12",
  ...more,
});
/** With everything that a privileged contract asks for. */
async function signed(more: Partial<RunRequest> = {}): Promise<RunRequest> {
  const asked = request(more);
  return { ...asked, task: await signTask(key, asked), code_signature: await signCode(key, asked.code) };
}
async function post(
  body: unknown,
  token: string | null = null,
): Promise<{ status: number; body: RunView & ProblemDocument }> {
  const answer = await server.request("/v1/runs", { json: body, token });
  return { status: answer.status, body: (await answer.json()) as RunView & ProblemDocument };
}
const show = (id = "") => said<Approval>(human(), "approvals", "show", id);
const approve = async (id = "", who = human()) =>
  run(who, "approve", id, "--statement-hash", (await show(id)).statement_hash);
const ended = (id: string) => server.json<RunView>(`/v1/runs/${id}?wait_ms=30000`);
async function kindsOf(ref: string): Promise<string[]> {
  const { items } = await server.json<{ items: { kind: string }[] }>(`/v1/evidence/entries?ref=${ref}&limit=200`);
  return items.map(({ kind }) => kind);
}
async function codesOf(ref: string): Promise<unknown[]> {
  const { items } = await server.json<{ items: { kind: string; data: { code?: string } }[] }>(
    `/v1/evidence/entries?ref=${ref}&kind=approval.refused&limit=200`,
  );
  return items.map(({ data }) => data.code);
}

describe("a privileged run that an agent has signed", () => {
  it("waits, is refused to everybody who may not decide, starts once approved, and the ledger has all of it", async () => {
    const asked = await signed();
    const { status, body: parked } = await post(asked);
    expect([status, parked.state], JSON.stringify(parked)).toEqual([202, "waiting_approval"]);
    const { id, approval = "" } = parked;
    expect(parked.next_steps?.[0]?.command).toBe(`gantry approve ${approval}`);
    expect((await run(human(), "approvals", "list")).stdout).toContain(approval);
    const shown = await run(human(), "approvals", "show", approval);
    for (const part of ["fix 12", "doubled", "production"]) expect(shown.stdout).toContain(part);

    // The same task again is the same run; an agent's token, the file's, and a vote about something else are refused.
    const again = await post(asked);
    expect([again.status, again.body.code, again.body.run ?? again.body.detail]).toEqual([
      409,
      "TASK_REPLAYED",
      expect.stringContaining(id),
    ]);
    for (const who of [agent(), file_token()]) {
      const refused = await approve(approval, who);
      expect(refused.code, refused.stderr).toBe(3);
    }
    const wrong = await run(human(), "approve", approval, "--statement-hash", "0".repeat(64));
    expect(wrong.code, wrong.stderr).not.toBe(0);
    const delegated = await run(human(), "tokens", "mint", "--actor", "local", "--scope", "gate:approve");
    expect(delegated.code, delegated.stdout).toBe(3);
    expect((await ended_now(id)).state).toBe("waiting_approval");

    const yes = await approve(approval);
    expect(yes.code, yes.stderr).toBe(0);
    expect(await ended(id)).toMatchObject({ termination: "completed", result: { doubled: 42 }, approval });
    expect((await show(approval)).status).toBe("executed");
    expect((await approve(approval)).code).not.toBe(0);
    const kinds = await kindsOf(id);
    for (const kind of ["run.parked", "run.queued", "run.admitted", "run.ended"]) {
      expect(
        kinds.filter((each) => each === kind),
        kind,
      ).toHaveLength(1);
    }
    const about = await kindsOf(approval);
    const story = ["approval.requested", "approval.voted", "approval.approved", "approval.executed", "run.ended"];
    expect(about).toEqual(expect.arrayContaining(story));
    expect((await codesOf(approval)).length).toBeGreaterThanOrEqual(2);
  });

  it.each([
    ["no token and no task", { task: undefined }, null, 401, "AUTH_REQUIRED"],
    ["a token alone", { task: undefined }, "agent", 403, "TASK_REQUIRED"],
    ["unsigned code", { code_signature: undefined }, null, 403, "CODE_UNSIGNED"],
    ["no reason", { why: undefined }, null, 403, "RUN_WHY_REQUIRED"],
    ["another input than was signed for", { input: { n: 22 } }, null, 409, "TASK_HASH_MISMATCH"],
    [
      "other code than was signed for",
      { code: { source: "export default () => 2" }, code_signature: undefined },
      null,
      409,
      "TASK_HASH_MISMATCH",
    ],
    ["the token of somebody else", {}, "owner", 403, "CHAIN_INVALID"],
    ["a task that was changed", { task: "e30.e30.c2ln" }, null, 401, "TASK_SIGNATURE"],
  ] as const)("with %s is refused", async (_what, more, token, status, code) => {
    const tokens = { agent: agent_token, owner: server.token };
    const answer = await post({ ...(await signed()), ...more }, token === null ? null : tokens[token]);
    expect([answer.status, answer.body.code], JSON.stringify(answer.body)).toEqual([status, code]);
  });

  it("with its issuer's token as well goes on as with the task alone", async () => {
    const { status, body } = await post(await signed({ input: { n: 1 } }), agent_token);
    expect([status, body.state]).toEqual([202, "waiting_approval"]);
  });
});

/** The agent proposes it, the owner approves it. */
async function apply(name: string, more: string): Promise<void> {
  const file = `${name}.yaml`;
  await writeFile(join(home, file), `kind: Contract\nname: ${name}\nextends: production\nrequire: []\n${more}`);
  const { approval } = await said<{ approval?: string }>(agent(), "contracts", "apply", file);
  if (approval === undefined) return;
  const yes = await approve(approval);
  expect(yes.code, yes.stderr).toBe(0);
}

describe("gantry run", () => {
  const submit = (...words: string[]) =>
    startCli(["run", "main.ts", "--input", '{"n": 4}', "--why", "w", ...words], { cwd: home, env: agent() });
  async function waitingOf(started: ReturnType<typeof submit>): Promise<string> {
    await eventually(() => /apr_[0-9a-z]{26}/.test(started.stderr), "it says what it waits for", 30_000);
    return /apr_[0-9a-z]{26}/.exec(started.stderr)?.[0] ?? "";
  }

  it("waits for people, says how to approve it, and goes on when they do", async () => {
    await apply("prod", "");
    const started = submit("--contract", "prod");
    const approval = await waitingOf(started);
    await eventually(() => started.stderr.includes(`npx gantry approve ${approval}`), "it says how to approve it");
    expect((await approve(approval)).code).toBe(0);
    const out = await started.finished;
    expect([out.code, JSON.parse(out.stdout)], out.stderr).toEqual([0, { doubled: 8 }]);
  });

  it("exits 3 when they decline", async () => {
    const started = submit("--contract", "prod", "--target", "eu");
    const approval = await waitingOf(started);
    expect((await run(human(), "decline", approval, "--reason", "not this week")).code).toBe(0);
    const out = await started.finished;
    expect(out.code, out.stderr).toBe(3);
    expect(out.stderr).toContain("declined");
  });

  it("exits 3 when the contract was changed before they approved", async () => {
    const started = submit("--contract", "prod", "--target", "us");
    const approval = await waitingOf(started);
    await apply("prod", "limits: {cpu_ms: 900}\n");
    await approve(approval);
    const out = await started.finished;
    expect(out.code, out.stderr).toBe(3);
    expect(out.stderr).toMatch(/APPROVAL_STALE_(SNAPSHOT|CONTRACT)/);
  });

  it("ends expired when nobody decides in time", async () => {
    // The gate of everything holds the contract itself, with its own longer clock.
    const runs_only = "{on: run.submit, name: brisk, quorum: 1, not_after_ms: 1500, execute_before_ms: 1500}";
    await apply("brisk", `gates: [{on: "*", name: production, quorum: 1}, ${runs_only}]\n`);
    const out = await submit("--contract", "brisk").finished;
    expect(out.code, out.stderr).toBe(5);
    expect(out.stderr).toContain("APPROVAL_EXPIRED");
  });

  it("--async prints the id and does not wait; cancel withdraws what people were asked", async () => {
    const out = await submit("--contract", "prod", "--target", "async", "--async").finished;
    expect(out.code, out.stderr).toBe(0);
    const id = out.stdout.trim();
    expect((await run(agent(), "runs", "show", id)).stdout).toContain("gantry approve apr_");
    expect((await run(agent(), "runs", "list", "--state", "waiting_approval")).stdout).toContain(id);
    const { approval = "" } = await ended_now(id);
    expect((await run(agent(), "runs", "cancel", id)).stdout).toContain("cancelled");
    expect((await show(approval)).status).toBe("superseded");
  });
});

it("a run that waits for people outlives kill -9, and starts once when it is approved after the restart", async () => {
  const { body } = await post(await signed({ target: "restart" }));
  await server.kill();
  await server.restart();
  expect((await ended_now(body.id)).state).toBe("waiting_approval");
  const yes = await approve(body.approval);
  expect(yes.code, yes.stderr).toBe(0);
  expect(await ended(body.id)).toMatchObject({ termination: "completed", attempt: 1 });
  const kinds = await kindsOf(body.id);
  expect(kinds.filter((kind) => kind === "run.admitted")).toHaveLength(1);
});

function ended_now(id: string): Promise<RunView> {
  return server.json<RunView>(`/v1/runs/${id}`);
}
