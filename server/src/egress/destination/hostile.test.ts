import { describe, expect, it } from "vitest";
import { callerUnder, contractWith } from "../../../../tests/fixtures/egress_calls.ts";
import { HOSTILE_URLS, LOOKALIKE_URLS, STRANGER_URLS } from "../../../../tests/fixtures/hostile_urls.ts";
import { isGantryError } from "../../kernel/errors.ts";
import { knownAddresses } from "./address.ts";
import { pinAddress } from "./pin.ts";
import { judgeCall } from "./rules.ts";
import { hrefOf, isLiteral, parseTarget } from "./target.ts";

const PUBLIC = "93.184.216.34";
const options = { nat64: [], isSelf: () => false, was_public: false };
const PORTS = [80, 443, 1, 3000, 8080, 8443, 65_535];

/** What becomes of a GET under a contract that grants every name, and these hosts; names have a public address. */
function outcome(url: string, hosts: readonly string[] = []): string {
  const egress = (["http", "https"] as const).map((protocol) => ({
    hosts: ["**", ...hosts],
    protocol,
    ports: PORTS,
  }));
  try {
    const target = parseTarget(url, false);
    const call = judgeCall(callerUnder(contractWith(egress)), { target, method: "GET" }, []);
    return `sent to ${pinAddress(call, knownAddresses(target.host) ?? [PUBLIC], options).address}`;
  } catch (error) {
    if (!isGantryError(error)) throw error;
    expect(error.parts.detail).toMatch(/^[^\n]{10,400}\.$/);
    return error.code;
  }
}

/** Its host, as a rule could name it. */
function hostOf(url: string): string[] {
  try {
    return [parseTarget(url, false).host];
  } catch {
    return [];
  }
}

describe("hostile URLs", () => {
  it("are many, and each is another", () => {
    expect(HOSTILE_URLS.length).toBeGreaterThanOrEqual(150);
    expect(new Set(HOSTILE_URLS.map(({ url }) => url)).size).toBe(HOSTILE_URLS.length);
    expect(LOOKALIKE_URLS.length).toBeGreaterThanOrEqual(40);
  });

  it.each(HOSTILE_URLS.map((row) => [row.why, row.url.slice(0, 80), row] as const))("%s: %j", (_why, _url, row) => {
    expect(outcome(row.url)).toBe(row.code);
    // Also where a rule names the very host, but says nothing of private addresses.
    expect(outcome(row.url, hostOf(row.url))).toBe(row.code);
  });
});

describe("URLs that look like them and are right", () => {
  it.each(LOOKALIKE_URLS.map(({ url, sent }) => [url.slice(0, 80), url, sent] as const))("%j", (_shown, url, sent) => {
    const target = parseTarget(url, false);
    expect(hrefOf(target)).toBe(sent);
    const [known = PUBLIC] = knownAddresses(target.host) ?? [];
    expect(outcome(url, isLiteral(target.host) ? [target.host] : [])).toBe(`sent to ${known}`);
  });
});

describe("what is easily taken for a granted host", () => {
  const granted = contractWith([{ hosts: ["api.example.com"], protocol: "https" }]);

  it.each(STRANGER_URLS)("%s is not it", (url) => {
    const asked = { target: parseTarget(url, false), method: "GET" };
    expect(() => judgeCall(callerUnder(granted), asked, [])).toThrow("EGRESS_HOST");
  });

  it.each(["https://api.example.com/", "https://API.example.com./", "https://api。example。com/"])("%s is", (url) => {
    const asked = { target: parseTarget(url, false), method: "GET" };
    expect(judgeCall(callerUnder(granted), asked, []).rule_id).toBe("0");
  });
});
