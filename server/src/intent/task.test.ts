import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { actOf, generateKey, type SigningKey, signCode, signTask } from "../../../sdk/src/tasks.ts";
import { agentOf, applyApproved, type Person } from "../../../tests/fixtures/people.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import type { Principal, VerifiedTask } from "../identity/contract.ts";
import { type RunRequest, runRequest, SIGNATURE_CHARS_MAX } from "./contract.ts";

/** Runs that were signed for: good once, for exactly what was signed, and what a contract may require. */

let house: RunsGround;
let agent: Person;
let key: SigningKey;

beforeAll(async () => {
  house = await openRunsGround();
  agent = await agentOf(house);
  await house.runs.recover();
  const { public_jwk, private_jwk } = await generateKey();
  const { owner, owned, identity } = house;
  const { kid } = await identity.registerKey(owner, { actor: owned.agent, uses: ["task", "code"], public_jwk });
  const act = actOf([owned.owner, owned.agent]);
  const instance = await identity.instance();
  key = { kid, actor: owned.agent, tenant: owned.tenant, instance, act, private_jwk };
  const text = "kind: Contract\nname: strict\nextends: scratch\nrequire: [signed_task, signed_code, why]\n";
  await applyApproved(house, { name: "strict.yaml", text });
});
afterAll(() => house.remove());
beforeEach(() => {
  house.pool.jobs.length = 0;
});

const strict = (more: Partial<RunRequest> = {}) => ask({ contract: "strict", why: "because", ...more });
async function submit(request: RunRequest, o: { key?: string } = {}) {
  const { who, task } = await verified(request);
  return house.runs.submit(who, request, { ...o, ...(task === undefined ? {} : { task }) });
}
/** As http/ does. */
async function verified({ task }: RunRequest): Promise<{ who: Principal; task?: VerifiedTask }> {
  return task === undefined ? { who: agent.who } : house.identity.authenticateTask(task);
}
const withTask = async (request: RunRequest, signed = request) => ({ ...request, task: await signTask(key, signed) });
const withCode = async (request: RunRequest) => ({ ...request, code_signature: await signCode(key, request.code) });
const refusal = (work: Promise<unknown>) =>
  work.then(
    () => ({ code: "none" }),
    (error: { code?: string; parts?: { run?: string; detail: string } }) => error,
  );

describe("what a contract requires", () => {
  it("is had by a request that carries all of it, and its run goes on", async () => {
    const view = await submit(await withTask(await withCode(strict())));
    expect(view).toMatchObject({ termination: "completed" });
    const row = await house.storage.get("SELECT authors FROM runs WHERE id = ?", [view.id]);
    expect(row?.["authors"]).toBe(JSON.stringify([agent.who.actor]));
  });

  it.each([
    ["TASK_REQUIRED", async () => withCode(strict())],
    ["CODE_UNSIGNED", async () => withTask(strict())],
    ["RUN_WHY_REQUIRED", async () => withTask(await withCode(strict({ why: " " })))],
  ])("lacking is the denial %s, recorded as one", async (code, made) => {
    const refused = await refusal(submit(await made()));
    expect(refused.code).toBe(code);
    const { run = "" } = "parts" in refused ? (refused.parts ?? {}) : {};
    expect(await house.kindsOf(run)).toEqual(["run.ended"]);
    expect(house.pool.jobs).toEqual([]);
  });

  it("is not had by a signature over other code, which is refused under every contract", async () => {
    const other = await signCode(key, { source: "export default () => 9" });
    expect((await refusal(submit(ask({ code_signature: other })))).code).toBe("CODE_UNSIGNED");
  });
});

describe("a signed task", () => {
  it("is good once: a repetition names the first run, and starts nothing", async () => {
    const request = await withTask(ask());
    const first = await submit(request);
    const again = await refusal(submit(request));
    expect(again.code).toBe("TASK_REPLAYED");
    expect(JSON.stringify("parts" in again ? again.parts : {})).toContain(first.id);
    expect(house.pool.jobs).toHaveLength(1);
  });

  it("is used once by twenty requests at the same moment", async () => {
    const request = await withTask(ask({ on_busy: "delay" }));
    const answers = await Promise.all(Array.from({ length: 20 }, () => refusal(submit(request))));
    expect(answers.filter(({ code }) => code === "none")).toHaveLength(1);
    expect(answers.filter(({ code }) => code === "TASK_REPLAYED")).toHaveLength(19);
    expect(house.pool.jobs).toHaveLength(1);
  });

  it.each([
    ["code", ask({ code: { source: "export default () => 2" } })],
    ["input", ask({ input: 2 })],
    ["contract", ask({ contract: "read-only" })],
  ])("for another %s is TASK_HASH_MISMATCH, and leaves the task unused", async (_what, other) => {
    const request = await withTask(ask(), ask());
    expect((await refusal(submit({ ...other, task: request.task }))).code).toBe("TASK_HASH_MISMATCH");
    expect(await submit(request)).toMatchObject({ termination: "completed" });
  });

  it("signed anew under the same idempotency key is the same run", async () => {
    const first = await submit(await withTask(ask()), { key: "again" });
    expect((await submit(await withTask(ask()), { key: "again" })).id).toBe(first.id);
  });
});

it(`signatures have at most ${SIGNATURE_CHARS_MAX} characters, in compact form`, () => {
  const of_length = (length: number) => `e30.e30.${"a".repeat(length - 8)}`;
  for (const member of ["task", "code_signature"]) {
    expect(runRequest.safeParse({ ...ask(), [member]: of_length(SIGNATURE_CHARS_MAX) }).success).toBe(true);
    expect(runRequest.safeParse({ ...ask(), [member]: of_length(SIGNATURE_CHARS_MAX + 1) }).success).toBe(false);
    expect(runRequest.safeParse({ ...ask(), [member]: "no.jws" }).success).toBe(false);
  }
  const named = (target: string) => runRequest.safeParse({ ...ask(), target }).success;
  expect(["eu", `a${"b".repeat(62)}`, `a${"b".repeat(63)}`, "EU", ""].map(named)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});
