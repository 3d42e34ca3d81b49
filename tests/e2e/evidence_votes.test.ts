import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cli } from "../fixtures/processes.ts";
import { peopleOf } from "../fixtures/served_people.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

/** What a bundle from a real server says of the proofs of its votes. */

const GATED = "kind: Contract\nname: nightly\nextends: scratch\ngates: [{on: run.submit, name: nightly, quorum: 1}]\n";
let server: TestServer;
let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "gantry-votes-"));
  server = await startServer();
});
afterAll(async () => {
  await server.dispose();
  await rm(home, { recursive: true, force: true });
});

async function ask(...words: string[]): Promise<string> {
  const env = { GANTRY_URL: server.url, GANTRY_TOKEN: server.token };
  const { code, stdout, stderr } = await cli(["evidence", ...words], { cwd: home, env });
  expect(code, stderr).toBe(0);
  return stdout;
}

describe("the bundle of a server on which a human voted", () => {
  it("says that the vote has a service proof", async () => {
    const { human, agent, apply, approve } = await peopleOf(server);
    await apply("nightly", GATED);
    const json = { contract: "nightly", code: { source: "export default () => 1" } };
    const submitted = await server.request("/v1/runs?wait=0", { json, token: agent });
    const approval = (await submitted.text()).match(/apr_[0-9a-z]{26}/)?.[0] ?? "";
    await approve(approval);
    const { votes } = await server.json<{ votes: unknown[] }>(`/v1/approvals/${approval}`, { token: human });
    expect(votes).toHaveLength(1);
    await writeFile(join(home, "log.pub"), await ask("key"));
    await ask("export", "--ref", approval, "-o", "votes.bundle");
    const words = ["evidence", "verify", "votes.bundle", "--key", "log.pub", "--json"];
    const { code, stdout } = await cli(words, { cwd: home, env: {} });
    expect(code, stdout).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ bundle: { votes: { count: 1, service: 1, unproved: 0 } } });
  });
});
