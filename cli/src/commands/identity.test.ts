import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import { runView, stubServer, tempDirectory, testTerminal } from "../testing.ts";

let cwd = "";
let remove = async (): Promise<void> => undefined;
let server: Awaited<ReturnType<typeof stubServer>>;
let answer: (method: string, url: string, body: string) => [number, unknown];
beforeEach(async () => {
  ({ path: cwd, remove } = await tempDirectory());
  server = await stubServer(({ method, url, body }) => answer(method, url, body));
});
afterEach(async () => {
  await server.close();
  await remove();
});

const AGENT = `act_${"1".repeat(26)}`;
const OWNER = `act_${"0".repeat(26)}`;
const actor = (more: object = {}) => ({
  id: AGENT,
  tenant: "ten_1",
  kind: "agent",
  name: "bot",
  subject: "bot",
  owner: OWNER,
  team: null,
  ceiling: null,
  state: "active",
  created_at: 1,
  ...more,
});
const human = actor({ id: OWNER, kind: "human", name: "owner", subject: "owner", owner: null });

async function gantry(...words: string[]) {
  const io = testTerminal({ cwd, env: { GANTRY_URL: server.url, GANTRY_TOKEN: "gtr_x" } });
  const code = await runProgram(words, io, { server: "/none", examples: "/none", version: "0" });
  return { code, out: io.out(), err: io.err() };
}
const last = () => {
  const { method, url, body } = server.seen.at(-1)!;
  return { method, url, ...(body === "" ? {} : { body: JSON.parse(body) as unknown }) };
};

describe("gantry actors", () => {
  test("lists, creates, suspends and resumes; a name stands for its id", async () => {
    answer = (method, url) => {
      if (url.startsWith("/v1/actors?")) return [200, { items: [human, actor()] }];
      return [method === "POST" ? 201 : 200, actor({ state: "suspended" })];
    };
    const { out } = await gantry("actors", "list", "--kind", "agent");
    expect(out).toMatch(/^ACTOR +KIND +NAME +STATE +TEAM +OWNER\n/);
    expect(server.seen[0]?.url).toBe("/v1/actors?limit=20&kind=agent");
    await gantry("actors", "create", "--kind", "agent", "--name", "n", "--owner", "owner", "--ceiling", "run:read");
    expect(last()).toEqual({
      method: "POST",
      url: "/v1/actors",
      body: { kind: "agent", name: "n", owner: OWNER, ceiling: ["run:read"] },
    });
    expect((await gantry("actors", "suspend", "bot", "--json")).code).toBe(0);
    expect(last()).toEqual({ method: "PATCH", url: `/v1/actors/${AGENT}`, body: { state: "suspended" } });
    await gantry("actors", "resume", AGENT);
    expect(last().body).toEqual({ state: "active" });
    expect((await gantry("actors", "show", "nobody")).err).toContain('There is no actor "nobody"');
    expect((await gantry("actors", "create", "--name", "n")).code).toBe(2);
  });

  test("asks which, where several have the name", async () => {
    answer = () => [200, { items: [actor(), actor({ id: OWNER })] }];
    const { code, err } = await gantry("actors", "suspend", "bot");
    expect(code).toBe(2);
    expect(err).toContain("is the name of several");
  });
});

describe("gantry tokens", () => {
  test("mints one: the secret alone on standard output, or in a file of mode 0600", async () => {
    answer = (_method, url) =>
      url === "/v1/tokens" ? [201, { id: "tok_1", secret: "gtr_agt_x", expires_at: 1 }] : [200, { items: [actor()] }];
    const { out, err } = await gantry(
      ...["tokens", "mint", "--actor", "bot", "--scope", "run:read", "--life", "2h", "--run", "run_1"],
    );
    expect(out).toBe("gtr_agt_x\n");
    expect(err).toContain("tok_1");
    expect(last().body).toEqual({ scopes: ["run:read"], actor: AGENT, life_ms: 7_200_000, run: "run_1" });
    const filed = await gantry("tokens", "mint", "--scope", "run:read", "-o", "t");
    expect(filed.out + filed.err).not.toContain("gtr_agt_x");
    expect(await readFile(join(cwd, "t"), "utf8")).toBe("gtr_agt_x\n");
    expect((await stat(join(cwd, "t"))).mode & 0o777).toBe(0o600);
    expect((await gantry("tokens", "mint")).code).toBe(2);
    expect((await gantry("tokens", "mint", "--scope", "x", "--life", "soon")).code).toBe(2);
  });

  test("revokes, and says how many ended", async () => {
    answer = () => [200, { revoked: 3 }];
    expect((await gantry("tokens", "revoke", "tok_1")).out).toBe("3 tokens revoked.\n");
    expect(last()).toEqual({ method: "DELETE", url: "/v1/tokens/tok_1" });
    answer = () => [200, { revoked: 0 }];
    expect((await gantry("tokens", "revoke", "tok_1")).out).toBe("It had ended before.\n");
  });
});

describe("gantry tenants", () => {
  const own = {
    id: "ten_1",
    slug: "acme",
    state: "active",
    settings: { approval_independence: "independent", run_ms_day: 5 },
    settings_rev: 4,
  };

  test("sets what tightens, and says what waits", async () => {
    answer = (method) => [200, method === "GET" ? own : { ...own, settings_rev: 5 }];
    expect((await gantry("tenants", "set", "run_ms_day=4")).out).toContain("revision               5");
    expect(last().body).toEqual({ run_ms_day: 4 });
    await gantry("tenants", "set", "egress_deny=a.example,**.b.example");
    expect(last().body).toEqual({ egress_deny: ["a.example", "**.b.example"] });
    await gantry("tenants", "set", "egress_deny=none");
    expect(last().body).toEqual({ egress_deny: [] });
    const pending = {
      state: "pending",
      approval: "apr_1",
      statement_hash: "0",
      tenant: own,
      next_steps: [{ kind: "command", text: "A human approves it", command: "gantry approve apr_1" }],
    };
    answer = (method) => (method === "GET" ? [200, own] : [202, pending]);
    const { out, err } = await gantry("tenants", "set", "run_ms_day=none");
    expect(last().body).toEqual({ run_ms_day: null });
    expect(out).toBe("It loosens, so it waits for people: apr_1\n");
    expect(err).toContain("gantry approve apr_1");
    for (const bad of [
      "run_ms_day",
      "run_ms_day=x",
      "egress_deny",
      "egress_deny=",
      "approval_independence=none",
      "color=red",
    ]) {
      expect((await gantry("tenants", "set", bad)).code).toBe(2);
    }
  });
});

describe("a key", () => {
  async function createKey(): Promise<void> {
    answer = (_method, url) => {
      if (url === "/v1/me") return [200, { tenant: { id: "ten_1" }, actor: { id: OWNER }, instance: "ins_1" }];
      if (url === `/v1/actors/${OWNER}`) return [200, human];
      if (url === "/v1/actor-keys")
        return [201, { kid: "key_1", actor: AGENT, uses: ["code", "task"], state: "active" }];
      if (url === "/v1/runs") return [200, runView()];
      return [200, { items: [actor()] }];
    };
    expect((await gantry("keys", "create", "-o", "k", "--actor", "bot")).code).toBe(0);
  }

  test("is made here, and only its public half is sent; its file says for whom it signs", async () => {
    await createKey();
    const text = await readFile(join(cwd, "k"), "utf8");
    const key = JSON.parse(text) as { private_jwk: { d: string; x: string } };
    expect(key).toMatchObject({
      kid: "key_1",
      actor: AGENT,
      tenant: "ten_1",
      instance: "ins_1",
      act: { sub: AGENT, act: { sub: OWNER } },
    });
    expect((await stat(join(cwd, "k"))).mode & 0o777).toBe(0o600);
    const sent = server.seen.map(({ body }) => body).join("");
    expect(sent).toContain(key.private_jwk.x);
    expect(sent).not.toContain(key.private_jwk.d);
  });

  test("is not registered where its file cannot be written", async () => {
    answer = (_method, url) => {
      if (url === "/v1/me") return [200, { tenant: { id: "ten_1" }, actor: { id: OWNER }, instance: "ins_1" }];
      if (url === "/v1/actor-keys") return [201, { kid: "key_1", actor: OWNER, uses: ["task"], state: "active" }];
      return [200, human];
    };
    expect((await gantry("keys", "create", "-o", "none/k")).code).toBe(2);
    expect(last()).toMatchObject({ method: "DELETE", url: "/v1/actor-keys/key_1" });
  });

  test("that others can read signs nothing", async () => {
    await createKey();
    await chmod(join(cwd, "k"), 0o644);
    await writeFile(join(cwd, "main.ts"), "export default () => 1");
    const { code, err } = await gantry("tasks", "sign", "main.ts", "--key", "k");
    expect(code).toBe(2);
    expect(err).toContain("chmod 600");
  });

  test("signs a task that is submitted without a token", async () => {
    await createKey();
    await writeFile(join(cwd, "main.ts"), "export default () => 1");
    const { code } = await gantry("tasks", "submit", "main.ts", "--key", "k", "--code-key", "k", "--target", "staging");
    expect(code).toBe(0);
    const sent = server.seen.at(-1)!;
    expect(sent.token).toBeUndefined();
    const { task, code_signature, target } = JSON.parse(sent.body) as Record<string, string>;
    const part = (jws: string | undefined, at: number) =>
      JSON.parse(Buffer.from(jws?.split(".")[at] ?? "", "base64url").toString()) as Record<string, unknown>;
    expect(part(task, 0)).toEqual({ alg: "EdDSA", typ: "gantry-task+jwt", kid: "key_1" });
    expect(part(task, 1)).toMatchObject({ iss: AGENT, aud: "ins_1", tid: "ten_1", contract: "scratch" });
    expect(part(code_signature, 0)["typ"]).toBe("gantry-code+jwt");
    expect(part(code_signature, 1)["code_hash"]).toBe(part(task, 1)["code_hash"]);
    expect(target).toBe("staging");
    expect((await gantry("tasks", "sign", "main.ts", "--key", "k", "--life", "6m")).code).toBe(2);
    expect((await gantry("tasks", "sign", "main.ts")).err).toContain("--key is missing");
  });

  test("that is private is not registered", async () => {
    await writeFile(join(cwd, "p"), JSON.stringify({ kty: "OKP", crv: "Ed25519", x: "x", d: "secret" }));
    const { code, err } = await gantry("keys", "register", "p");
    expect(code).toBe(2);
    expect(err).toContain("holds a private key");
    expect(server.seen).toEqual([]);
  });
});
