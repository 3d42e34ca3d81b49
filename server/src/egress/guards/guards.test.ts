import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { callerUnder, contractWith } from "../../../../tests/fixtures/egress_calls.ts";
import { makeToken } from "../../identity/token.ts";
import { GantryError } from "../../kernel/errors.ts";
import { systemRandom } from "../../kernel/random.ts";
import type { Contract, EgressRule } from "../../policy/contract.ts";
import { DLP_WINDOW_BYTES_MAX, egress_errors } from "../contract.ts";
import type { Call, HeaderList } from "../parts.ts";
import { makeLease } from "../secrets/lease_token.ts";
import type { DlpScanner } from "./deps.ts";
import { RULE_BYTES_MAX } from "./dlp_rules.ts";
import { DlpSearch } from "./dlp_search.ts";
import { createGuards } from "./guards.ts";

const search = new DlpSearch();
/** In place: what the thread does is in `adapters/dlp.test.ts`. */
const here: DlpScanner = { scan: async (window) => search.find(window) };
const random = systemRandom();
const GITHUB = `ghp_${"a1B2c3D4e5F6".repeat(3)}`;
const deny = { dlp: { action: "deny" }, shadow_mcp: "deny" } as const;
const log = { dlp: { action: "log" }, shadow_mcp: "log" } as const;

function call(
  contract: Partial<Contract> = log,
  more: Partial<EgressRule> & { path?: string; query?: string; method?: string } = {},
): Call {
  const { path = "/v1", query = "", method = "POST", ...rest } = more;
  const rule: EgressRule = {
    id: "api",
    hosts: ["api.example.com"],
    protocol: "https",
    methods: ["GET", "POST"],
    ...rest,
  };
  const who = callerUnder(contractWith([rule], contract));
  const target = { protocol: rule.protocol, host: rule.hosts[0]!, port: 443, path, query };
  return { who, target, method, rule, rule_id: "api", path_class: "*", mutating: true };
}

function headOf(of: Call, headers: HeaderList = []): string[] | string {
  try {
    return createGuards({ dlp: here }).head(of, headers);
  } catch (error) {
    return (error as GantryError).code;
  }
}

interface Looked {
  passed: Buffer;
  code: string | undefined;
  noticed: string[];
}

async function bodyOf(of: Call, chunks: readonly Buffer[], dlp = here): Promise<Looked> {
  const guard = createGuards({ dlp }).body(of, [])!;
  const passed: Buffer[] = [];
  try {
    for (const chunk of chunks) passed.push(await guard.push(chunk));
    passed.push(await guard.end());
    return { passed: Buffer.concat(passed), code: undefined, noticed: guard.noticed() };
  } catch (error) {
    return { passed: Buffer.concat(passed), code: (error as { code: string }).code, noticed: guard.noticed() };
  }
}

function cut(text: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.map((place) => place % (text.length + 1)).sort((a, b) => a - b), text.length];
  return places.slice(1).map((end, n) => text.subarray(places[n], end));
}
const cuts = fc.array(fc.nat(10_000), { maxLength: 10 });
const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));

const own: [string, () => string, string][] = [
  ["a person's token", () => makeToken("hum", random), "EGRESS_OWN_TOKEN"],
  ["an agent's token", () => makeToken("agt", random), "EGRESS_OWN_TOKEN"],
  ["a login link", () => makeToken("lnk", random), "EGRESS_OWN_TOKEN"],
  ["a repository's token", () => `art_v1_${"0123456789abcdef".repeat(3).slice(0, 40)}`, "EGRESS_OWN_TOKEN"],
  ["a lease", () => makeLease(random), "LEASE_SCOPE"],
];

describe("one of our own tokens", () => {
  it.each(own)("%s leaves in no URL, header or body", async (_, make, code) => {
    const token = make();
    expect(headOf(call(log, { query: `?k=${token}` }))).toBe(code);
    expect(headOf(call(log, { path: `/a/${token}/b` }))).toBe(code);
    expect(headOf(call(log, { query: `?k=%${token.charCodeAt(0).toString(16)}${token.slice(1)}` }))).toBe(code);
    // A lease in a header may stand in its slot, which is for the leases to say.
    const in_header = code === "LEASE_SCOPE" ? [] : code;
    expect(headOf(call(), [["x-any", `v ${token};`]])).toEqual(in_header);
    expect(headOf(call(), [["authorization", `Basic ${btoa(`x:${token}`)}`]])).toEqual(in_header);
    await fc.assert(
      fc.asyncProperty(noise, noise, cuts, async (before, after, at) => {
        const looked = await bodyOf(call(), cut(Buffer.concat([before, Buffer.from(token), after]), at));
        expect(looked.code).toBe(code);
        // Not even its beginning, unless what stands before is one as well.
        expect(looked.passed.length).toBeLessThanOrEqual(before.length);
      }),
      { numRuns: 60 },
    );
  });

  it("is told without being repeated", async () => {
    const token = makeToken("svc", random);
    const guard = createGuards({ dlp: here }).body(call(), [])!;
    const error = await guard.push(Buffer.from(token)).catch((reason: unknown) => reason);
    expect(JSON.stringify([error, String(error)])).not.toContain(token.slice(8));
  });

  it("is told from a look-alike", async () => {
    const token = makeToken("svc", random);
    const wrong = token.slice(0, -1) + (token.endsWith("a") ? "b" : "a");
    for (const text of [wrong, token.slice(0, -1), "art_v1_0123", "gl_abc", `gtr_bot_${token.slice(8)}`]) {
      expect(headOf(call(), [["x", text]])).toEqual([]);
      expect(await bodyOf(call(), [Buffer.from(text)])).toMatchObject({ code: undefined, passed: Buffer.from(text) });
    }
  });
});

describe("what looks like a secret", () => {
  it("in a URL or a header is noticed, or refused", () => {
    const spots: [Call, HeaderList][] = [
      [call(log, { query: `?token=${GITHUB}` }), []],
      [call(log, { query: `?token=%67${GITHUB.slice(1)}` }), []],
      [call(log), [["x-data", GITHUB]]],
    ];
    for (const [of, headers] of spots) {
      expect(headOf(of, headers)).toEqual(["EGRESS_DLP"]);
      const { path, query } = of.target;
      expect(headOf(call(deny, { path, query }), headers)).toBe("EGRESS_DLP");
    }
  });

  it("may be what a destination gave the guest", () => {
    for (const name of ["Authorization", "cookie"])
      expect(headOf(call(deny), [[name, `Bearer ${GITHUB}`]])).toEqual([]);
  });

  it("in a body is noticed under log, and nothing waits", async () => {
    const text = Buffer.from(`{"key":"${GITHUB}"}`);
    const guard = createGuards({ dlp: here }).body(call(), [])!;
    expect(await guard.push(text)).toEqual(text);
    expect(await guard.end()).toEqual(Buffer.alloc(0));
    expect(guard.noticed()).toEqual(["EGRESS_DLP"]);
  });

  it("in a body is refused under deny before a byte of its window has passed, however it is cut", async () => {
    await fc.assert(
      fc.asyncProperty(noise, cuts, async (before, at) => {
        const body = Buffer.concat([before, Buffer.from(` ${GITHUB} `), before]);
        expect(await bodyOf(call(deny), cut(body, at))).toEqual({
          passed: Buffer.alloc(0),
          code: "EGRESS_DLP",
          noticed: [],
        });
      }),
      { numRuns: 60 },
    );
  });

  it.each([-20, 0, 20])(`across the end of a window is found, and nothing of it has passed (%i)`, async (shift) => {
    const lead = Buffer.alloc(DLP_WINDOW_BYTES_MAX - 20 + shift, " ");
    const body = Buffer.concat([lead, Buffer.from(GITHUB), Buffer.alloc(DLP_WINDOW_BYTES_MAX, ".")]);
    const denied = await bodyOf(call(deny), cut(body, [70_000, 300_000]));
    expect(denied.code).toBe("EGRESS_DLP");
    expect(denied.passed.length).toBeLessThanOrEqual(lead.length);
    expect(await bodyOf(call(), [body])).toEqual({ passed: body, code: undefined, noticed: ["EGRESS_DLP"] });
  });

  it(`is looked for in windows of at most ${DLP_WINDOW_BYTES_MAX} bytes that overlap`, async () => {
    const windows: Buffer[] = [];
    const dlp: DlpScanner = {
      async scan(window) {
        windows.push(Buffer.from(window));
        return undefined;
      },
    };
    for (const length of [DLP_WINDOW_BYTES_MAX, DLP_WINDOW_BYTES_MAX + 1, 3 * DLP_WINDOW_BYTES_MAX]) {
      windows.length = 0;
      const body = Buffer.from(random.bytes(length));
      const { passed } = await bodyOf(call(deny), cut(body, [1, 200_000, 555_555]), dlp);
      expect(passed.equals(body)).toBe(true);
      expect(windows.length).toBe(
        length === DLP_WINDOW_BYTES_MAX
          ? 1
          : Math.ceil((length - RULE_BYTES_MAX) / (DLP_WINDOW_BYTES_MAX - RULE_BYTES_MAX)),
      );
      for (const window of windows) expect(window.length).toBeLessThanOrEqual(DLP_WINDOW_BYTES_MAX);
      const [first, ...rest] = windows;
      expect(Buffer.concat([first!, ...rest.map((window) => window.subarray(RULE_BYTES_MAX))]).equals(body)).toBe(true);
    }
  });

  it("and cannot be looked for refuses the call under deny, and is noticed under log", async () => {
    const dlp: DlpScanner = {
      scan: () => Promise.reject(new GantryError(egress_errors.CAPACITY, { detail: "Full." })),
    };
    const body = Buffer.from("anything");
    expect(await bodyOf(call(deny), [body], dlp)).toMatchObject({ code: "EGRESS_CAPACITY", passed: Buffer.alloc(0) });
    expect(await bodyOf(call(), [body], dlp)).toEqual({ passed: body, code: undefined, noticed: ["EGRESS_CAPACITY"] });
  });
});

describe("an MCP server that no rule grants", () => {
  const likely: [string, Partial<EgressRule> & { path?: string }][] = [
    ["its host", { hosts: ["mcp.example.com"] }],
    ["its host, further in", { hosts: ["docs.mcp.example.com"] }],
    ["a host that is known", { hosts: ["gitmcp.io"] }],
    ["its path", { path: "/mcp" }],
    ["its path, with a slash", { path: "/mcp/sse/" }],
    ["the older transport's path", { path: "/sse" }],
  ];
  it.each(likely)("is seen by %s", (_, more) => {
    expect(headOf(call(log, more))).toEqual(["EGRESS_SHADOW_MCP"]);
    expect(headOf(call(deny, more))).toBe("EGRESS_SHADOW_MCP");
    expect(headOf(call(deny, { ...more, mcp: true }))).toEqual([]);
  });

  it("is certain by its header", () => {
    const headers: HeaderList = [["MCP-Protocol-Version", "2025-06-18"]];
    expect(headOf(call(), headers)).toEqual(["EGRESS_SHADOW_MCP"]);
    expect(() => createGuards({ dlp: here }).head(call(deny), headers)).toThrow(
      /By the header mcp-protocol-version the call speaks to/,
    );
    expect(headOf(call(deny, { mcp: true }), headers)).toEqual([]);
  });

  it("is refused with the rule that would grant it", () => {
    const of = call(deny, { hosts: ["mcp.example.com"] });
    const steps = (() => {
      try {
        createGuards({ dlp: here }).head(of, []);
      } catch (error) {
        return (error as GantryError).parts.next_steps;
      }
      return undefined;
    })();
    expect(steps).toMatchObject([
      { kind: "contract.egress.rule", rule: { ...of.rule, mcp: true }, needs: "contract-change" },
    ]);
  });

  it.each([{ hosts: ["amcp.example.com"] }, { hosts: ["example.mcp"] }, { path: "/mcp2" }, { path: "/v1/sse" }])(
    "is not what merely looks like one: %j",
    (more) => expect(headOf(call(deny, more))).toEqual([]),
  );

  const spoken = [
    '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"a":{"method":"x"}}}',
    ' \n{ "method" : "tools/call", "params": [1, "a\\"b", {"x": "}"}], "jsonrpc" : "2.0" }',
    '[{"jsonrpc":"2.0","method":"other"},{"jsonrpc":"2.0","id":2,"method":"resources/read"}]',
    '{"jsonrpc":"2.0","\\u006dethod":"prompts\\/list"}',
    '\ufeff{"jsonrpc":"2.0","method":"notifications/initialized"}',
    '{"jsonrpc":"2.0","method":"sampling/createMessage"}',
    `{"params":{"x":"${"y".repeat(5_000)}"},"jsonrpc":"2.0","method":"roots/list"}`,
  ];
  it.each(spoken)("is certain by what is said, however it is cut: %.60s", async (text) => {
    const body = Buffer.from(text);
    await fc.assert(
      fc.asyncProperty(cuts, async (at) => {
        expect(await bodyOf(call(), cut(body, at))).toEqual({
          passed: body,
          code: undefined,
          noticed: ["EGRESS_SHADOW_MCP"],
        });
        const denied = await bodyOf(call({ shadow_mcp: "deny" }), cut(body, at));
        expect(denied.code).toBe("EGRESS_SHADOW_MCP");
        expect(denied.passed.length).toBeLessThan(body.length);
        expect((await bodyOf(call(deny, { mcp: true }), cut(body, at))).code).toBeUndefined();
      }),
      { numRuns: 20 },
    );
  });

  it.each([
    '{"method":"initialize"}',
    '{"jsonrpc":"2.0","method":"eth_call"}',
    '{"jsonrpc":"2.0","method":"tool/call"}',
    '{"data":{"jsonrpc":"2.0","method":"tools/call"}}',
    '[[{"jsonrpc":"2.0","method":"tools/call"}]]',
    '{"jsonrpc":"2.0","note":"method","x":"initialize"}',
    '"jsonrpc method initialize"',
    'text {"jsonrpc":"2.0","method":"initialize"}',
    '{"jsonrpc":"2.0"} {"method":"initialize"}',
    '[{"jsonrpc":"2.0"},{"method":"initialize"}]',
    `{"jsonrpc":"2.0","method":"tools/${"x".repeat(300)}"}`,
    "",
  ])("is not heard in other bodies: %.60s", async (text) => {
    expect(await bodyOf(call(deny), [Buffer.from(text)])).toEqual({
      passed: Buffer.from(text),
      code: undefined,
      noticed: [],
    });
  });
});

describe("a body without anything of it", () => {
  it("passes byte for byte, however it is cut, under log and deny", async () => {
    const pieces = ["gtr_hum_", "gl_", "gtr_", "art_v1_abc", "g", "gt", "ghp_abc", '{"jsonrpc"', "-----BEGIN "].map(
      (text) => Buffer.from(text),
    );
    const bodies = fc
      .array(fc.oneof(fc.constantFrom(...pieces), noise), { maxLength: 30 })
      .map((parts) => Buffer.concat(parts));
    await fc.assert(
      fc.asyncProperty(bodies, cuts, fc.boolean(), async (body, at, is_denied) => {
        const looked = await bodyOf(call(is_denied ? deny : log), cut(body, at));
        expect(looked.code).toBeUndefined();
        expect(looked.passed.equals(body)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it("of a tunnel is none", () => {
    const of = call(deny, { method: "CONNECT", protocol: "tls", ports: [443], hosts: ["mcp.example.com"] });
    expect(createGuards({ dlp: here }).body(of, [])).toBeUndefined();
    expect(headOf(of)).toEqual([]);
  });
});
