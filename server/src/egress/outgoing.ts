import type { Sender, SenderAnswer, SenderRequest } from "../evidence/contract.ts";
import type { Clock } from "../kernel/clock.ts";
import { isGantryError } from "../kernel/errors.ts";
import { isMetadataName, type JudgedAddress, judgeAddress, knownAddresses } from "./destination/address.ts";
import { isLiteral, parseTarget } from "./destination/target.ts";
import type { Dialer, Exchanged, HeaderList, Resolver, Target } from "./parts.ts";

export interface OutgoingDeps {
  resolver: Resolver;
  dialer: Dialer;
  clock: Clock;
  /** NAT64 prefixes of this network, besides the well-known one. */
  nat64: readonly string[];
  /** Is it one of this host's own addresses, on a port that Gantry listens on? */
  isSelf(address: string, port: number): boolean;
}

/** Where a request goes, and how it is told who asks. */
interface Place {
  target: Target;
  /** Basic authentication of the URL's user and password. */
  credentials: HeaderList;
}

/**
 * The way out for our own rooms: to the origin of the URL alone, over addresses that were judged before they are dialled. No
 * redirect is followed, and everything that comes back is bounded in time and bytes. Clouds' metadata and Gantry itself are
 * out of reach whatever is configured.
 * @param o.public_only  only to addresses of the public internet: for URLs that callers choose.
 */
export function createOutgoing(deps: OutgoingDeps, { public_only }: { public_only: boolean }): Sender {
  return { send: (asked) => send(deps, asked, public_only) };
}

async function send(deps: OutgoingDeps, asked: SenderRequest, public_only: boolean): Promise<SenderAnswer> {
  if (asked.signal.aborted) throw new Error("the request was not begun");
  const place = placeOf(asked.url);
  const stop = new AbortController();
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      settle();
      reject(new Error(why));
      stop.abort(new Error(why));
    };
    const aborted = (): void => fail("the request was stopped");
    const cancel = deps.clock.after(asked.timeout_ms, () =>
      fail(`no whole answer within ${asked.timeout_ms / 1_000} s`),
    );
    const settle = (): void => {
      cancel();
      asked.signal.removeEventListener("abort", aborted);
    };
    asked.signal.addEventListener("abort", aborted);
    exchange(deps, asked, place, { public_only, signal: stop.signal })
      .then((answer) => {
        settle();
        resolve(answer);
      })
      .catch((error: Error) => fail(error.message));
  });
}

/** @throws Error  of which no message names the URL */
async function exchange(
  deps: OutgoingDeps,
  asked: SenderRequest,
  place: Place,
  o: { public_only: boolean; signal: AbortSignal },
): Promise<SenderAnswer> {
  const addresses = await judged(deps, place.target, o.public_only);
  for (const [n, address] of addresses.entries()) {
    let is_sent = false;
    const sending = (): void => {
      is_sent = true;
    };
    let answered: Exchanged;
    try {
      o.signal.throwIfAborted();
      answered = await deps.dialer.exchange({
        ...{ pool: `rooms/${o.public_only ? "public" : "any"}`, target: place.target, address },
        ...{ method: asked.method, headers: headersOf(asked, place), body: bodyOf(asked) },
        ...{ signal: o.signal, sending },
      });
    } catch (error) {
      // Another address of the same name is tried only while nothing has left: what was sent may have been done.
      if (n + 1 < addresses.length && !is_sent && !o.signal.aborted) continue;
      throw new Error(`no answer: ${wordOf(error)}`);
    }
    return await collect(answered, asked.answer_bytes_max);
  }
  throw new Error("no answer: ENOTFOUND");
}

async function collect({ status, headers, body }: Exchanged, bytes_max: number): Promise<SenderAnswer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.byteLength;
      if (bytes > bytes_max) break;
      chunks.push(chunk);
    }
  } catch (error) {
    throw new Error(`the answer broke off: ${wordOf(error)}`);
  }
  if (bytes > bytes_max) throw new Error(`the answer has more than ${bytes_max} bytes`);
  const content_type = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "";
  return { status, content_type, body: new Uint8Array(Buffer.concat(chunks)) };
}

/** Every address of the answer, once each of them may be dialled: one that may not refuses them all. */
async function judged(deps: OutgoingDeps, target: Target, public_only: boolean): Promise<string[]> {
  const { host, port } = target;
  const known = knownAddresses(host);
  const texts = known ?? (await found(deps.resolver, host));
  const addresses = texts.map((text) => judgeAddress(text, deps.nat64));
  for (const each of addresses) {
    const is_barred =
      each === undefined || each.kind === "metadata" || isMetadataName(host) || isSelf(deps, each, port);
    if (!is_barred && (each.kind === "public" || !public_only)) continue;
    throw new Error(isLiteral(host) ? "the address is not a public one" : "no answer: ADDRESS_NOT_PUBLIC");
  }
  return addresses.flatMap((each) => (each === undefined ? [] : [each.address]));
}

async function found(resolver: Resolver, host: string): Promise<string[]> {
  try {
    return (await resolver.addresses(host)).addresses;
  } catch (error) {
    throw new Error(`no answer: ${wordOf(error)}`);
  }
}

function isSelf(deps: OutgoingDeps, { faces }: JudgedAddress, port: number): boolean {
  return faces.some((face) => deps.isSelf(face, port));
}

function placeOf(url: string): Place {
  const read = URL.canParse(url) ? new URL(url) : undefined;
  if (read === undefined) throw new Error("the URL is none");
  const { username, password } = read;
  read.username = "";
  read.password = "";
  const given = username === "" && password === "" ? undefined : `${plain(username)}:${plain(password)}`;
  try {
    const target = parseTarget(read.href, false);
    const basic = Buffer.from(given ?? "", "utf8").toString("base64");
    return { target, credentials: given === undefined ? [] : [["authorization", `Basic ${basic}`]] };
  } catch {
    // The refusal says what is wrong with a guest's URL; this one was checked when it was set, by the room that has it.
    throw new Error("the URL is not one that can be called");
  }
}

/** What cannot be decoded stands for itself. */
function plain(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function bodyOf({ body, method }: SenderRequest): Uint8Array | null {
  return method === "GET" ? null : Buffer.from(body ?? "", "utf8");
}

function headersOf(asked: SenderRequest, { target, credentials }: Place): HeaderList {
  const { protocol, host, port } = target;
  const is_default = port === (protocol === "https" ? 443 : 80);
  const body = bodyOf(asked);
  const content: [string, string][] = asked.body === undefined ? [] : [["content-type", "text/plain; charset=utf-8"]];
  const length: [string, string][] = body === null ? [] : [["content-length", String(body.byteLength)]];
  const own = new Map([["user-agent", "gantry"], ...credentials, ...content, ...Object.entries(asked.headers ?? {})]);
  return [["host", is_default ? host : `${host}:${port}`], ...own, ...length];
}

/** One word for it, Node's own where there is one; messages of some errors name the address, none of these does. */
function wordOf(error: unknown): string {
  const inner = isGantryError(error) ? (codeOf(error.parts.internal) ?? error.code) : codeOf(error);
  // undici's word for a connection that ended too early, and the dialer's for one that was reset.
  return inner === "UND_ERR_SOCKET" || inner === "EGRESS_RESET" ? "ECONNRESET" : (inner ?? "the connection failed");
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { code, name } = error as { code?: unknown; name?: unknown };
  if (typeof code === "string" && /^[A-Z][A-Z0-9_]*$/.test(code)) return code;
  // Node's words for what is no HTTP begin with HPE; undici 7.30 says nothing but the name of the error.
  return name === "HTTPParserError" ? "HPE_INVALID" : undefined;
}
