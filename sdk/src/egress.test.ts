/// <reference types="node" />
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { Gantry } from "./client.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A real server that notes what it is asked and gives each the same answer. */
async function serve(status: number, answer: unknown): Promise<{ gantry: Gantry; seen: string[]; bodies: string[] }> {
  const seen: string[] = [];
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      seen.push(`${request.method} ${request.url}`);
      bodies.push(Buffer.concat(chunks).toString());
      response.writeHead(status, { "content-type": "application/json" });
      response.end(answer === undefined ? undefined : JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => new Promise((resolve) => server.close(() => resolve())));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { gantry: new Gantry({ url, token: "gtr_x" }), seen, bodies };
}

test("a secret is sent as text, or as base64 of any bytes however many", async () => {
  const { gantry, seen, bodies } = await serve(200, { name: "n" });
  await gantry.secrets.set("a/b", "s3cret");
  const bytes = Uint8Array.from({ length: 65_536 }, (_, at) => at % 256);
  await gantry.secrets.set("n", bytes);
  expect(seen).toEqual(["PUT /v1/secrets/a%2Fb", "PUT /v1/secrets/n"]);
  expect(JSON.parse(bodies[0] ?? "")).toEqual({ value: "s3cret" });
  const { value_base64 } = JSON.parse(bodies[1] ?? "");
  expect(new Uint8Array(Buffer.from(value_base64, "base64"))).toEqual(bytes);
});

test("lists are given as their items", async () => {
  const { gantry, seen } = await serve(200, { items: [{ a: 1 }] });
  const { secrets, leases, egress } = gantry;
  for (const list of [secrets.list(), leases.list(), egress.blocked.list(), egress.services.list()]) {
    expect(await list).toEqual([{ a: 1 }]);
  }
  expect(seen).toEqual(["GET /v1/secrets", "GET /v1/leases", "GET /v1/egress/blocked", "GET /v1/egress/services"]);
});

test("what is removed, revoked and dropped answers nothing", async () => {
  const { gantry, seen } = await serve(204, undefined);
  await gantry.secrets.remove("n");
  await gantry.leases.revoke("lse_1");
  await gantry.egress.blocked.drop("blk_1");
  await gantry.egress.services.remove("x y");
  expect(seen).toEqual([
    "DELETE /v1/secrets/n",
    "DELETE /v1/leases/lse_1",
    "DELETE /v1/egress/blocked/blk_1",
    "DELETE /v1/egress/services/x%20y",
  ]);
});

test("questions, services, retries and reports are sent as they are asked", async () => {
  const { gantry, seen, bodies } = await serve(200, {});
  const { egress } = gantry;
  await egress.test({ contract: "c", url: "https://a.example" });
  const fields = { class: "c", environment: "e", hosts: ["a.example"], protocol: "https" as const };
  await egress.services.set({ name: "n", ...fields });
  await egress.blocked.get("blk_1");
  await egress.blocked.retry("blk_1");
  await egress.recordRedteam({ runs: ["run_1"], hits: 0 });
  await gantry.runs.calls("run_1", { cursor: "c" });
  expect(seen).toEqual([
    "POST /v1/egress/test",
    "PUT /v1/egress/services/n",
    "GET /v1/egress/blocked/blk_1",
    "POST /v1/egress/blocked/blk_1/retry",
    "POST /v1/redteam",
    "GET /v1/runs/run_1/egress?cursor=c",
  ]);
  expect(bodies.filter((body) => body !== "").map((body) => JSON.parse(body))).toEqual([
    { contract: "c", url: "https://a.example" },
    fields,
    { runs: ["run_1"], hits: 0 },
  ]);
});
