import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { testNetwork } from "../../../tests/fixtures/leaving.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { SINK_PROBE_MS } from "../evidence/contract.ts";
import { type Clock, systemClock } from "../kernel/clock.ts";
import { probeWitnesses } from "./witness_probe.ts";

let base: string;
let server: Server | undefined;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "gantry-probe-"));
});
afterEach(() => {
  server?.close();
  server?.closeAllConnections();
  server = undefined;
  rmSync(base, { recursive: true, force: true });
});

async function listening(answer: (url: string) => number | undefined): Promise<string> {
  server = createServer((request, response) => {
    const status = answer(request.url ?? "");
    if (status !== undefined) response.writeHead(status).end("a note");
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server?.once("listening", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const partsOf = (clock: Clock) => ({ clock, sender: testNetwork(clock).outgoing({ public_only: false }) });

it("each witness is asked, and what it lacks is said with what to do", async () => {
  const url = await listening((path) => (path === "/tells" ? 200 : 405));
  execFileSync("git", ["init", "--quiet", "--bare", join(base, "w.git")]);
  const checks = await probeWitnesses(
    [
      { kind: "file", address: join(base, "w.txt") },
      { kind: "file", address: join(base, "none", "w.txt") },
      { kind: "git", address: join(base, "w.git") },
      { kind: "git", address: join(base, "none.git") },
      { kind: "webhook", address: `${url}/tells` },
      { kind: "webhook", address: `${url}/other` },
    ],
    join(base, "scratch"),
    partsOf(systemClock()),
  );
  expect(checks.map(({ ok, detail }) => [ok, detail.replace(/: fatal: .*/, "")])).toEqual([
    [true, "holds no checkpoint yet"],
    ["warn", "its directory is not there"],
    [true, "holds no checkpoint yet"],
    ["warn", "git fetch failed"],
    [true, "holds a checkpoint"],
    [true, "answers, and does not tell what it holds"],
  ]);
  expect(checks[0]?.name).toBe(`witness file:${base}/w.txt`);
  expect(checks.every(({ ok, fix }) => (ok === true) === (fix === undefined))).toBe(true);
});

it("a witness that does not answer is not waited for longer than a probe may take", async () => {
  let asked = false;
  const url = await listening(() => {
    asked = true;
    return undefined;
  });
  const clock = new VirtualClock();
  const probing = probeWitnesses([{ kind: "webhook", address: `${url}/x` }], base, partsOf(clock));
  await eventually(() => asked, "the question");
  clock.advance(SINK_PROBE_MS);
  expect((await probing)[0]).toMatchObject({ ok: "warn", detail: `no answer within ${SINK_PROBE_MS / 1_000} s` });
});
