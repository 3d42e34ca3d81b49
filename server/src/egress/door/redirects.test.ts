import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type DoorGround, openDoorGround } from "../../../../tests/fixtures/door_ground.ts";
import { openUpstreams, type Upstreams } from "../../../../tests/fixtures/upstreams.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import type { EgressRule } from "../../policy/contract.ts";
import {
  REDIRECT_BODY_BYTES_MAX,
  REDIRECT_REMEMBERED_MS_MAX,
  REDIRECTS_MAX,
  REDIRECTS_REMEMBERED_MAX,
} from "../contract.ts";
import { parseTarget } from "../destination/target.ts";
import type { HeaderList } from "../parts.ts";
import { nextHop, RedirectMemory } from "./redirects.ts";

let ground: DoorGround;
let upstreams: Upstreams;
let port: number;
let calls: { line: string; headers: Record<string, unknown>; body: string }[];
let points: Record<string, [status: number, location: string]>;

beforeAll(async () => {
  upstreams = openUpstreams();
  ground = await openDoorGround();
  for (const name of ["a.example", "b.example", "evil.example"]) ground.dns.addresses(name, ["127.0.0.2"]);
  port = await upstreams.http((call, answer) => {
    const chunks: Buffer[] = [];
    call.on("data", (chunk: Buffer) => chunks.push(chunk));
    call.on("end", () => {
      const { method, url = "", headers } = call;
      calls.push({
        line: `${method} ${headers.host?.split(":")[0]}${url}`,
        headers,
        body: Buffer.concat(chunks).toString(),
      });
      const [status, location] = points[url] ?? [200, undefined];
      answer.writeHead(status, location === undefined ? {} : { location });
      answer.end("body");
    });
  }, "127.0.0.2");
});
beforeEach(() => {
  calls = [];
  points = {};
});
afterAll(async () => {
  await ground.remove();
  await upstreams.close();
});

const rule = (more: Partial<EgressRule> = {}): EgressRule => ({
  hosts: ["a.example", "b.example"],
  protocol: "http",
  ports: [port],
  methods: ["GET", "POST", "HEAD"],
  private: true,
  addresses: ["127.0.0.2"],
  ...more,
});
const url = (path: string, host = "a.example"): string => `http://${host}:${port}${path}`;
const CREDENTIALS = { authorization: "Bearer own", cookie: "a=b", "x-own": "kept" };
const follow = { "gantry-redirect": "follow" };

describe("a redirect that the guest follows", () => {
  it("comes back as it is, and its next hop goes without credentials to another origin, with them to the same", async () => {
    points = { "/1": [302, url("/2", "b.example")], "/3": [302, "/4"] };
    const { text } = await ground.open([rule()]);
    const answer = await text(url("/1"), { headers: CREDENTIALS });
    expect([answer.status, answer.headers.location]).toEqual([302, url("/2", "b.example")]);
    await text(url("/2", "b.example"), { headers: CREDENTIALS });
    await text(url("/5", "b.example"), { headers: CREDENTIALS });
    await text(url("/3"), { headers: CREDENTIALS });
    await text(url("/4"), { headers: CREDENTIALS });
    expect(calls.map(({ line, headers }) => [line, headers["authorization"], headers["x-own"]])).toEqual([
      ["GET a.example/1", "Bearer own", "kept"],
      ["GET b.example/2", undefined, "kept"],
      ["GET b.example/5", "Bearer own", "kept"],
      ["GET a.example/3", "Bearer own", "kept"],
      ["GET a.example/4", "Bearer own", "kept"],
    ]);
    expect(calls[1]?.headers["cookie"]).toBeUndefined();
  });

  it(`is remembered for ${REDIRECT_REMEMBERED_MS_MAX} ms, and of ${REDIRECTS_REMEMBERED_MAX} the latest`, () => {
    const clock = new VirtualClock();
    const memory = new RedirectMemory(clock);
    const at = (href: string) => parseTarget(href, false);
    const lease = `gl_${"a".repeat(38)}`;
    const headers: HeaderList = [
      ["Authorization", "x"],
      ["X-Key", lease],
      ["X-Own", "x"],
    ];
    const names = (href: string) => memory.strip(at(href), headers).map(([name]) => name);
    memory.remember(at("http://a.example/"), "http://b.example/first");
    expect(names("http://b.example/first")).toEqual(["X-Own"]);
    for (let n = 1; n < REDIRECTS_REMEMBERED_MAX; n += 1)
      memory.remember(at("http://a.example/"), `http://b.example/${n}`);
    expect(names("http://b.example/first")).toEqual(["X-Own"]);
    memory.remember(at("http://a.example/"), "http://b.example/last");
    expect(names("http://b.example/first")).toHaveLength(3);
    clock.advance(REDIRECT_REMEMBERED_MS_MAX);
    expect(names("http://b.example/last")).toEqual(["X-Own"]);
    clock.advance(1);
    expect(names("http://b.example/last")).toHaveLength(3);
  });
});

describe("a redirect that is followed here", () => {
  it(`is followed ${REDIRECTS_MAX} times and not once more, and the end is named`, async () => {
    points = Object.fromEntries(Array.from({ length: REDIRECTS_MAX + 1 }, (_, n) => [`/${n}`, [302, `/${n + 1}`]]));
    const { text, door } = await ground.open([rule()]);
    const answer = await text(url("/1"), { headers: { ...CREDENTIALS, ...follow } });
    expect([answer.status, answer.text, answer.headers["gantry-final-url"]]).toEqual([
      200,
      "body",
      url(`/${REDIRECTS_MAX + 1}`),
    ]);
    expect(calls).toHaveLength(REDIRECTS_MAX + 1);
    expect(
      calls.every(
        ({ headers }) => headers["authorization"] === "Bearer own" && headers["gantry-redirect"] === undefined,
      ),
    ).toBe(true);
    expect((await text(url("/0"), { headers: follow })).code).toBe("EGRESS_REDIRECT");
    expect((await door.close()).rows.reduce((sum, { count }) => sum + count, 0)).toBe(2 * (REDIRECTS_MAX + 1));
  });

  it("is judged anew at each hop, and takes no credentials to another origin", async () => {
    points = { "/1": [307, url("/2", "b.example")], "/3": [302, url("/4", "evil.example")] };
    const { text } = await ground.open([rule()]);
    await text(url("/1"), { headers: { ...CREDENTIALS, ...follow } });
    expect(calls.map(({ headers }) => headers["authorization"])).toEqual(["Bearer own", undefined]);
    expect((await text(url("/3"), { headers: follow })).code).toBe("EGRESS_HOST");
    expect(calls).toHaveLength(3);
  });

  it("changes the method as HTTP says, and sends a body again only where it keeps the method", async () => {
    points = { "/301": [301, "/end"], "/303": [303, "/end"], "/307": [307, "/end"], "/308": [308, "/end"] };
    const { text } = await ground.open([rule()]);
    const body = "x".repeat(REDIRECT_BODY_BYTES_MAX);
    for (const path of ["/301", "/303", "/307", "/308"]) {
      await text(url(path), { method: "POST", body, headers: { ...follow, "content-type": "text/x" } });
    }
    await text(url("/303"), { method: "HEAD", headers: follow });
    const at_end = calls.filter(({ line }) => line.endsWith("/end"));
    expect(
      at_end.map(({ line, body: { length }, headers }) => [line.split(" ")[0], length, headers["content-type"]]),
    ).toEqual([
      ["GET", 0, undefined],
      ["GET", 0, undefined],
      ["POST", REDIRECT_BODY_BYTES_MAX, "text/x"],
      ["POST", REDIRECT_BODY_BYTES_MAX, "text/x"],
      ["HEAD", 0, undefined],
    ]);
    const long = await text(url("/307"), { method: "POST", body: `${body}x`, headers: follow });
    expect(long.code).toBe("EGRESS_REDIRECT");
  });

  it("never leads from https to http, nor to what is no URL", () => {
    const hop = { target: parseTarget("https://a.example/x", false), method: "GET", headers: [], whole: null, n: 0 };
    expect(nextHop(hop, 302, "https://b.example/").target.host).toBe("b.example");
    for (const location of [
      "http://a.example/",
      "http:///",
      "file:///etc/passwd",
      "gopher://a",
      "https://a:b@c.example/",
    ]) {
      expect(() => nextHop(hop, 302, location)).toThrow(/EGRESS_REDIRECT/);
    }
  });
});
