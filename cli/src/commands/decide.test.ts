import type { Approval } from "@gantry/sdk";
import { afterEach, describe, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import { approvalView, type StubRequest, stubServer, testTerminal } from "../testing.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

type Answer = (request: StubRequest) => [status: number, body: unknown];

async function run(answer: Answer, words: string[], parts: { tty?: boolean; typed?: string } = {}) {
  const server = await stubServer(answer);
  closers.push(server.close);
  const io = testTerminal({ env: { GANTRY_URL: server.url, GANTRY_TOKEN: "gtr_x" }, ...parts });
  const exit = await runProgram(words, io, { server: "", examples: "", version: "0" });
  const sent = server.seen.filter(({ method }) => method === "POST");
  return { exit, out: io.out(), err: io.err(), sent, bodies: sent.map(({ body }) => JSON.parse(body)) };
}

/** A server with one approval, which takes every decision. */
const holding =
  (view: Approval, after: Partial<Approval> = {}): Answer =>
  ({ method }) => [200, method === "POST" ? { ...view, ...after } : view];

const yes = { actor: "act_3", vote: "approve" as const, note: null, at: 1, proofs: [] };

describe("gantry approve", () => {
  test("shows it at a terminal, asks, and sends the hash of what it showed", async () => {
    const view = await approvalView();
    const done = await run(holding(view, { votes: [yes] }), ["approve", "apr_1", "--note", "read"], {
      tty: true,
      typed: "yes",
    });
    expect(done.exit).toBe(0);
    expect(done.out).toContain("Who wants what");
    expect(done.out.indexOf("Who wants what")).toBeLessThan(done.out.indexOf("apr_1 waits for 1 more approval"));
    expect(done.err).toBe("Type yes to approve: ");
    expect(done.sent[0]?.url).toBe("/v1/approvals/apr_1/votes");
    expect(done.bodies).toEqual([{ vote: "approve", statement_hash: view.statement_hash, note: "read" }]);
  });

  test.each(["", "y", "no", "Yes!"])("decides nothing when the answer is %j", async (typed) => {
    const done = await run(holding(await approvalView()), ["approve", "apr_1"], { tty: true, typed });
    expect(done).toMatchObject({ exit: 1, sent: [] });
    expect(done.err).toContain("Nothing was decided.");
  });

  test("where nobody can be asked it wants the hash that was read, and no other", async () => {
    const view = await approvalView();
    const blind = await run(holding(view), ["approve", "apr_1"]);
    expect(blind).toMatchObject({ exit: 2, sent: [], out: "" });
    expect(blind.err).toContain("gantry approvals show apr_1 --json");
    // With --json the page would not be read by anybody, even at a terminal.
    expect(await run(holding(view), ["approve", "apr_1", "--json"], { typed: "yes" })).toMatchObject({
      exit: 2,
      sent: [],
    });
    const other = await run(holding(view), ["approve", "apr_1", "--statement-hash", "0".repeat(64)]);
    expect(other).toMatchObject({ exit: 2, sent: [] });
    const right = ["approve", "apr_1", "--statement-hash", view.statement_hash, "--json"];
    const done = await run(holding(view, { status: "approved" }), right);
    expect(done).toMatchObject({ exit: 0, bodies: [{ vote: "approve", statement_hash: view.statement_hash }] });
    expect(JSON.parse(done.out).status).toBe("approved");
  });

  test("refuses a server whose words do not hash to what it says", async () => {
    const view = await approvalView();
    const lies: Approval[] = [
      { ...view, statement: { ...view.statement, target: "staging" } },
      { ...view, preview: { ...view.preview, summary: "harmless" } },
      { ...view, statement_hash: "f".repeat(64) },
      await approvalView({ statement: { approval: "apr_2" } }),
    ];
    for (const lie of lies) {
      for (const words of [
        ["approve", "apr_1"],
        ["decline", "apr_1", "--reason", "no"],
      ]) {
        const done = await run(holding(lie), words, { tty: true, typed: "yes" });
        expect(done).toMatchObject({ exit: 3, sent: [] });
        expect(done.err).toContain("tell whoever operates it");
      }
    }
  });

  test("exits 3 when the server says that one may not", async () => {
    const view = await approvalView();
    const problem = { status: 403, code: "APPROVAL_EXCLUDED", title: "t", detail: "You asked for it.", type: "t" };
    const answer: Answer = ({ method }) => (method === "POST" ? [403, problem] : [200, view]);
    const done = await run(answer, ["approve", "apr_1", "--statement-hash", view.statement_hash]);
    expect(done.exit).toBe(3);
    expect(done.err).toContain("APPROVAL_EXCLUDED");
  });

  test("says until when what was approved may start", async () => {
    const view = await approvalView();
    const after = { status: "approved", execute_before_at: 1_700_000_000_000 } as const;
    const done = await run(holding(view, after), ["approve", "apr_1", "--statement-hash", view.statement_hash]);
    expect(done.out).toBe("apr_1 approved; it may start until 2023-11-14 22:13:20Z\n");
  });
});

test("gantry decline wants a reason, asks nothing, and sends it as the note", async () => {
  const view = await approvalView();
  expect(await run(holding(view), ["decline", "apr_1"])).toMatchObject({ exit: 2, sent: [] });
  expect(await run(holding(view), ["decline", "apr_1", "--reason", " "])).toMatchObject({ exit: 2, sent: [] });
  const done = await run(holding(view, { status: "declined" }), ["decline", "apr_1", "--reason", "too wide"]);
  expect(done).toMatchObject({ exit: 0, out: "apr_1 declined\n" });
  expect(done.bodies).toEqual([{ vote: "decline", statement_hash: view.statement_hash, note: "too wide" }]);
});

test("gantry break-glass is seen like a vote, and says who reviews what", async () => {
  const view = await approvalView();
  const glass = {
    id: "bgl_1",
    approval: "apr_1",
    actor: "act_1",
    reason: "checkout is down since noon",
    until_at: 1_700_000_000_000,
    debt: "open" as const,
    closed_by: null,
    closed_note: null,
    at: 1,
  };
  const words = ["break-glass", "apr_1", "--reason", glass.reason];
  expect(await run(holding(view), words)).toMatchObject({ exit: 2, sent: [] });
  expect(await run(holding(view), ["break-glass", "apr_1"])).toMatchObject({ exit: 2, sent: [] });
  expect(await run(holding(view), [...words, "--minutes", "ten"], { typed: "yes" })).toMatchObject({ exit: 2 });
  const done = await run(holding(view, { status: "broken_glass", break_glass: glass }), words, { typed: "yes" });
  expect(done).toMatchObject({ exit: 0 });
  // Nobody reads standard output here; who is asked reads the other.
  expect(done.err).toContain("Who wants what");
  expect(done.out).toBe("apr_1 glass broken until 2023-11-14 22:13:20Z; another human reviews bgl_1\n");
  expect(done.bodies).toEqual([{ reason: glass.reason, minutes: 30, statement_hash: view.statement_hash }]);
});
