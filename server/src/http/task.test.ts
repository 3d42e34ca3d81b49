import { afterAll, beforeAll, expect, it } from "vitest";
import { actOf, generateKey, type SigningKey, signTask } from "../../../sdk/src/tasks.ts";
import { agentOf } from "../../../tests/fixtures/people.ts";
import { openServed, type Served } from "../../../tests/fixtures/served_runs.ts";
import { TASK_BODY_BYTES_MAX } from "./contract.ts";

/** A signed task in the body stands for a token, at one path, for bodies of a bounded size. */

let served: Served;
let key: SigningKey;
let agent: string;

beforeAll(async () => {
  served = await openServed();
  const { identity, owner, owned } = served.house;
  const { public_jwk, private_jwk } = await generateKey();
  const { kid } = await identity.registerKey(owner, { actor: owned.agent, uses: ["task"], public_jwk });
  const act = actOf([owned.owner, owned.agent]);
  key = { kid, actor: owned.agent, tenant: owned.tenant, instance: await identity.instance(), act, private_jwk };
  agent = (await agentOf(served.house)).secret;
});
afterAll(() => served.close());

const code = { source: "export default () => 1" };
const signed = async (input: unknown = null) => ({ code, input, task: await signTask(key, { code, input }) });
/** Without the header, and not with an empty one. */
async function bare(text: string, headers: Record<string, string> = {}, path = "/v1/runs") {
  const answer = await fetch(`${served.listener.url}${path}`, {
    method: "POST",
    body: text,
    headers: { "content-type": "application/json", ...headers },
  });
  return { status: answer.status, body: (await answer.json()) as { code?: string; state?: string } };
}

it("stands for the token of its issuer", async () => {
  const { status, body } = await bare(JSON.stringify(await signed()));
  expect([status, body.state]).toEqual([200, "ended"]);
});

it("is seen however its name is written", async () => {
  const { task, ...rest } = await signed();
  const text = `${JSON.stringify(rest).slice(0, -1)},"\\u0074ask":${JSON.stringify(task)}}`;
  expect((await bare(text)).status).toBe(200);
});

it.each([
  ["nothing", "{}"],
  ["no JSON", '{"task"'],
  ["a list", '["task"]'],
  ["a task that is no text", JSON.stringify({ code, task: 1 })],
])("a body with %s has neither a token nor a task", async (_what, text) => {
  const { status, body } = await bare(text);
  expect([status, body.code]).toEqual([401, "AUTH_REQUIRED"]);
});

it("goes with its issuer's token and with no other", async () => {
  const with_token = async (secret: string) =>
    bare(JSON.stringify(await signed()), { authorization: `Bearer ${secret}` });
  expect((await with_token(agent)).status).toBe(200);
  expect((await with_token(served.house.secret)).body.code).toBe("CHAIN_INVALID");
  expect((await with_token("gtr_x")).body.code).toBe("TOKEN_MALFORMED");
});

it("stands for nothing at other paths", async () => {
  expect((await bare(JSON.stringify(await signed()), {}, "/v1/runs/run_1/cancel")).status).toBe(401);
  expect((await bare(JSON.stringify(await signed()), {}, "/v1/tokens")).status).toBe(401);
});

it(`a body without a token may have ${TASK_BODY_BYTES_MAX} bytes, and not one more`, async () => {
  const of_size = async (bytes: number) => {
    const request = await signed("");
    const left = bytes - JSON.stringify(request).length;
    return JSON.stringify(await signed("x".repeat(left)));
  };
  const text = await of_size(TASK_BODY_BYTES_MAX);
  expect(text.length).toBe(TASK_BODY_BYTES_MAX);
  expect((await bare(text)).status).toBe(200);
  const past = await bare(`${text} `);
  expect([past.status, past.body.code]).toEqual([413, "REQUEST_TOO_LARGE"]);
});
