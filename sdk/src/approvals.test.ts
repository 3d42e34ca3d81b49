import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson as serverJson } from "../../server/src/kernel/canonical.ts";
import { sha256Hex } from "../../server/src/kernel/hash.ts";
import { canonicalHash, canonicalJson } from "./canonical.ts";
import { Gantry } from "./client.ts";

/** A server that answers one after the other, and what it was asked. */
function scripted(...answers: [status: number, body?: unknown][]) {
  const asked: { method: string; url: string; body: unknown }[] = [];
  const fetch: typeof globalThis.fetch = async (url, init) => {
    asked.push({
      method: init?.method ?? "",
      url: String(url).replace("http://g", ""),
      body: typeof init?.body === "string" ? JSON.parse(init.body) : undefined,
    });
    const [status, body] = answers[asked.length - 1] ?? [500];
    const type = { "content-type": status >= 400 ? "application/problem+json" : "application/json" };
    return new Response(body === undefined ? null : JSON.stringify(body), { status, headers: type });
  };
  return { gantry: new Gantry({ url: "http://g", token: "t", fetch }), asked };
}

describe("canonical JSON", () => {
  const values = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constant(null),
      fc.boolean(),
      fc.maxSafeInteger(),
      fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0")),
      fc.array(tie("value"), { maxLength: 4 }),
      fc.dictionary(
        fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0") && text !== "__proto__"),
        tie("value"),
        { maxKeys: 4 },
      ),
    ),
  })).value;

  test("is what the server hashes", async () => {
    await fc.assert(
      fc.asyncProperty(values, async (value) => {
        expect(canonicalJson(value)).toBe(serverJson(value));
        expect(await canonicalHash(value)).toBe(sha256Hex(serverJson(value)));
      }),
    );
  });

  test("has no text for fractions, nor for what nests without end", () => {
    expect(() => canonicalJson({ a: [0.5] })).toThrow(TypeError);
    const loop: unknown[] = [];
    loop.push(loop);
    expect(() => canonicalJson(loop)).toThrow(TypeError);
  });
});

test("wait looks until it is decided, and an abort ends the waiting", async () => {
  const { gantry, asked } = scripted([200, { status: "pending" }], [200, { status: "approved" }]);
  expect((await gantry.approvals.wait("apr_1")).status).toBe("approved");
  expect(asked.map(({ url }) => url)).toEqual(["/v1/approvals/apr_1", "/v1/approvals/apr_1"]);
  const again = scripted([200, { status: "pending" }]);
  const stop = new AbortController();
  const waiting = again.gantry.approvals.wait("apr_1", { signal: stop.signal });
  stop.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
});

test("each method asks where the server answers, and ids cannot leave their place", async () => {
  const { gantry, asked } = scripted(
    [200, { items: [] }],
    [200, {}],
    [200, {}],
    [200, { items: [] }],
    [200, {}],
    [200, { until_at: 1 }],
    [201, {}],
    [204],
    [404, { status: 404, code: "WEBHOOK_UNKNOWN", title: "t", detail: "d", type: "t" }],
  );
  await gantry.approvals.list({ status: "pending", limit: 5 });
  await gantry.approvals.vote("a/../b", { vote: "approve", statement_hash: "0" });
  await gantry.approvals.breakGlass("apr_1", { reason: "r", minutes: 3, statement_hash: "0" });
  await gantry.approvals.debts();
  await gantry.approvals.close("bgl_1", "fine");
  await gantry.approvals.attend();
  await gantry.webhooks.add({ url: "https://x" });
  expect(await gantry.webhooks.remove("whk_1")).toBeUndefined();
  await expect(gantry.webhooks.remove("whk_2")).rejects.toMatchObject({ code: "WEBHOOK_UNKNOWN" });
  expect(asked).toEqual([
    { method: "GET", url: "/v1/approvals?status=pending&limit=5", body: undefined },
    { method: "POST", url: "/v1/approvals/a%2F..%2Fb/votes", body: { vote: "approve", statement_hash: "0" } },
    {
      method: "POST",
      url: "/v1/approvals/apr_1/break-glass",
      body: { reason: "r", minutes: 3, statement_hash: "0" },
    },
    { method: "GET", url: "/v1/review-debts", body: undefined },
    { method: "POST", url: "/v1/review-debts/bgl_1/close", body: { note: "fine" } },
    { method: "POST", url: "/v1/attendance", body: undefined },
    { method: "POST", url: "/v1/webhooks", body: { url: "https://x" } },
    { method: "DELETE", url: "/v1/webhooks/whk_1", body: undefined },
    { method: "DELETE", url: "/v1/webhooks/whk_2", body: undefined },
  ]);
});
