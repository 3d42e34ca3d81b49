import { createHmac } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Entry, Page, RunView } from "../../sdk/src/types.ts";
import { DescribedApi } from "../fixtures/openapi.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

/** What is typed for a run, from the request to the reader, through a real server. */

const REDACTIONS = ["keep", "mask", "drop"] as const;
const WHY = "asked by canary-why@example.com";
const PROMPT = `canary-prompt: deploy with api_key=${"canary"}-secret now`;
const SHOWN = {
  keep: { why: WHY, prompt: PROMPT },
  mask: { why: "asked by [masked:email]", prompt: "canary-prompt: deploy with api_key=[masked:secret] now" },
} as const;

type Opened = Entry & { opened?: Record<string, { key: string; value: string }>; code?: string };

let server: TestServer;
let api: DescribedApi;
let contracts: string;

beforeAll(async () => {
  contracts = await mkdtemp(join(tmpdir(), "gantry-contracts-"));
  const paths = await Promise.all(
    REDACTIONS.map(async (name) => {
      const path = join(contracts, `${name}.yaml`);
      await writeFile(path, `kind: Contract\nname: ${name}\nextends: scratch\nredaction: {prompts: ${name}}\n`);
      return path;
    }),
  );
  server = await startServer({ config: { contracts: paths } });
  await approveWhatWaits(server);
  api = await DescribedApi.of(server);
});
afterAll(async () => {
  await server.dispose();
  await rm(contracts, { recursive: true, force: true });
});

/** To keep what was typed loosens what holds: a person must agree, by the link that the server printed. */
async function approveWhatWaits(at: TestServer): Promise<void> {
  const [link] = /gtr_lnk_[0-9A-Za-z]{36}/.exec(at.printed) ?? [];
  const call = async <T>(path: string, token: string | undefined, body?: object): Promise<T> => {
    const answer = await fetch(`${at.url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        "content-type": "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    expect(answer.status, path).toBeLessThan(300);
    return (await answer.json()) as T;
  };
  const login = await call<{ token: { secret: string } }>("/v1/login", undefined, { link });
  const token = login.token.secret;
  const waiting = await call<Page<{ id: string; statement_hash: string }>>("/v1/approvals?status=pending", token);
  expect(waiting.items).toHaveLength(1);
  for (const { id, statement_hash } of waiting.items) {
    await call(`/v1/approvals/${id}/votes`, token, { vote: "approve", statement_hash });
  }
}

async function run(contract: string): Promise<Entry> {
  const json = { code: { source: "export default () => 1" }, contract, why: WHY, prompt: PROMPT };
  const view = await api.json<RunView>("/v1/runs", { json });
  expect(view.termination).toBe("completed");
  return server.json<Entry>(`/v1/evidence/entries/${view.evidence.entries[0]}`);
}
const open = async (entry: string, field: string) => {
  const answer = await api.request(`/v1/evidence/entries/${entry}?open=${field}`);
  return { status: answer.status, body: (await answer.json()) as Opened };
};
const openingsOf = async (entry: string) =>
  (await server.json<Page<Entry>>(`/v1/evidence/entries?kind=evidence.opened&ref=${entry}`)).items;

describe.each(["keep", "mask"] as const)("a run under %s", (contract) => {
  it("shows what was typed to who may open it, with what proves it, and says that it was shown", async () => {
    const admitted = await run(contract);
    expect(admitted.kind).toBe("run.admitted");
    expect(JSON.stringify(admitted)).not.toContain("canary");
    for (const field of ["why", "prompt"] as const) {
      const { status, body } = await open(admitted.id, field);
      expect(status).toBe(200);
      const { key, value } = body.opened![field]!;
      const bytes = Buffer.from(value, "base64");
      expect(bytes.toString("utf8")).toBe(SHOWN[contract][field]);
      const domain = Buffer.from(`gantry.field.v1\0${admitted.id}\0${field}\0`);
      const mac = createHmac("sha256", Buffer.from(key, "base64")).update(Buffer.concat([domain, bytes]));
      expect(mac.digest("hex")).toBe(admitted.commitments?.[field]);
    }
    const openings = await openingsOf(admitted.id);
    expect(openings.map(({ data }) => data)).toEqual([
      { entry: admitted.id, field: "why" },
      { entry: admitted.id, field: "prompt" },
    ]);
    expect(openings[0]?.actor).toHaveLength(1);
    expect(openings[0]?.refs).toEqual([admitted.id, ...admitted.refs]);
  });
});

describe("a run under drop", () => {
  it("has commitments, and nothing to open", async () => {
    const admitted = await run("drop");
    expect(Object.keys(admitted.commitments ?? {}).sort()).toEqual(["prompt", "why"]);
    for (const field of ["why", "prompt"]) {
      const { status, body } = await open(admitted.id, field);
      expect([status, body.code]).toEqual([410, "EVIDENCE_NOT_KEPT"]);
    }
    expect(await openingsOf(admitted.id)).toEqual([]);
  });
});

/** Which of the canaries are in any file of the data directory. */
async function canariesIn(data: string): Promise<string[]> {
  const files = (await readdir(data, { recursive: true, withFileTypes: true })).filter((each) => each.isFile());
  // A file that is replaced meanwhile has another name while it is written.
  const kept = files.filter(({ name }) => !name.endsWith(".tmp"));
  const texts = await Promise.all(kept.map((file) => readFile(join(file.parentPath, file.name), "latin1")));
  return ["canary-why", "canary-secret"].filter((canary) => texts.some((text) => text.includes(canary)));
}

it("what was masked or dropped is in no file of the data directory, and what was kept is", async () => {
  const paths = REDACTIONS.map((name) => join(contracts, `${name}.yaml`));
  const clean = await startServer({ config: { contracts: paths } });
  try {
    await approveWhatWaits(clean);
    const submit = async (contract: string) => {
      const json = { code: { source: "export default () => 1" }, contract, why: WHY, prompt: PROMPT };
      expect((await clean.json<RunView>("/v1/runs", { json })).termination).toBe("completed");
    };
    await submit("mask");
    await submit("drop");
    expect(await canariesIn(clean.data)).toEqual([]);
    await submit("keep");
    expect(await canariesIn(clean.data)).toEqual(["canary-why", "canary-secret"]);
    expect(clean.log.join("\n")).not.toContain("canary");
  } finally {
    await clean.dispose();
  }
});
