import { isUtf8 } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Identity, Principal } from "../identity/contract.ts";
import { IDEMPOTENCY_KEY_MAX, RUN_BODY_BYTES_MAX, type RunRequest, type Runs, runRequest } from "../intent/contract.ts";
import type { Ids } from "../kernel/ids.ts";
import { type AccountingDeps, account } from "./accounting.ts";
import { tokenIn } from "./bearer.ts";
import { REQUEST_ID_HEADER } from "./contract.ts";
import { asRefused, refusalOf } from "./refusals.ts";

/** Is asked before the app; a request that it does not answer it gives to `rest`, and no other way. */
export type Ahead = (incoming: IncomingMessage, outgoing: ServerResponse, rest: () => void) => void;

export interface FastPathDeps extends AccountingDeps {
  runs: Pick<Runs, "submit">;
  identity: Pick<Identity, "recognise">;
  ids: Ids;
}

const PATH = "/v1/runs";
/** A host that needs no reading: what @hono/node-server (2.1) takes as it stands. */
const PLAIN_HOST = /^[a-z0-9._-]+(?::(?:[1-5]\d{3,4}|[6-9]\d{3}))?$/;
/** What all steps of the app agree on: some know other spaces or letters than others. */
const PLAIN_TYPE = /^application\/json(?:; ?charset=(?:utf|UTF)-8)?$/;
const PLAIN_KEY = /^[\x21-\x7e]+$/;

/**
 * Answers `POST /v1/runs` where nothing is out of the ordinary: as the app would, byte for byte, without its Request,
 * Headers, Response and streams, its promise for each middleware, and schemas that are run asynchronously, which zod (4.6)
 * does not compile. That was 15 % of the main thread's time for a pooled run (Node 20.20).
 *
 * What it does not know goes to the app, which judges it from the beginning: another path, doubtful headers, a token that
 * has to be looked up, a missing scope, a body that is not valid, a signed task. So there is one order of events and one
 * text of each refusal; what the room refuses is answered alike on both ways.
 */
export function runFastPath(d: FastPathDeps): Ahead {
  return (incoming, outgoing, rest) => {
    const { headers } = incoming;
    const who = isOrdinary(incoming) ? principalOf(d.identity, headers.authorization) : undefined;
    if (who === undefined) return rest();
    const request = d.ids("req");
    const from = d.clock.monotonic();
    readWhole(incoming, (body) => {
      const ask = body === undefined ? undefined : askOf(body);
      if (ask !== undefined) {
        const key = headers["idempotency-key"];
        const asked = { who, ask, key: key as string | undefined, request, from };
        // Nothing is left to be told of it: only the log and the metrics can have failed.
        return void answer(d, asked, outgoing).catch(() => void outgoing.destroy());
      }
      // Where @hono/node-server looks for a body that has been read; without one, it finds that the body broke off.
      if (body !== undefined) Object.assign(incoming, { rawBody: body });
      rest();
    });
  };
}

function isOrdinary({ method, url, headers, rawHeaders }: IncomingMessage): boolean {
  if (method !== "POST" || url !== PATH) return false;
  // A header that came twice is joined or dropped here, and the app sees both.
  if (Object.keys(headers).length * 2 !== rawHeaders.length) return false;
  const length = headers["content-length"];
  const key = headers["idempotency-key"];
  return (
    length !== undefined &&
    Number(length) > 0 &&
    Number(length) <= RUN_BODY_BYTES_MAX &&
    headers["transfer-encoding"] === undefined &&
    PLAIN_TYPE.test(headers["content-type"] ?? "") &&
    PLAIN_HOST.test(headers.host ?? "") &&
    (key === undefined || (typeof key === "string" && key.length <= IDEMPOTENCY_KEY_MAX && PLAIN_KEY.test(key)))
  );
}

function principalOf(identity: FastPathDeps["identity"], authorization: string | undefined): Principal | undefined {
  const bearer = tokenIn(authorization ?? "");
  const who = bearer === undefined ? undefined : identity.recognise(bearer);
  return who?.scopes.has("run:submit") ? who : undefined;
}

/** @param then  hears once: the body, or nothing when it broke off. */
function readWhole(incoming: IncomingMessage, then: (body: Buffer | undefined) => void): void {
  const chunks: Buffer[] = [];
  let is_whole = false;
  incoming.on("data", (chunk: Buffer) => void chunks.push(chunk));
  incoming.on("end", () => {
    is_whole = true;
    const [first] = chunks;
    then(chunks.length === 1 ? first : Buffer.concat(chunks));
  });
  incoming.on("close", () => {
    if (!is_whole) then(undefined);
  });
}

/** Undefined for what the app must judge: the schema names what is wrong, and a signed task is verified. */
function askOf(body: Buffer): RunRequest | undefined {
  if (!isUtf8(body)) return undefined;
  try {
    const parsed: unknown = JSON.parse(body.toString());
    if (typeof parsed !== "object" || parsed === null || "task" in parsed) return undefined;
    return runRequest.safeParse(parsed).data as RunRequest | undefined; // JSON has no undefined members
  } catch {
    return undefined; // it will be the same to the app, which says where it is no JSON
  }
}

interface Asked {
  who: Principal;
  ask: RunRequest;
  key: string | undefined;
  request: string;
  /** Monotonic milliseconds. */
  from: number;
}

async function answer(d: FastPathDeps, asked: Asked, outgoing: ServerResponse): Promise<void> {
  const { who, ask, key, request, from } = asked;
  let status = 200;
  // In the order in which Headers, which the app's answers go through, would have them.
  let headers: Record<string, string> = { "content-type": "application/json", [REQUEST_ID_HEADER]: request };
  let text: string;
  try {
    const view = await d.runs.submit(who, ask, key === undefined ? {} : { key });
    if (view.state !== "ended") {
      status = 202;
      headers["location"] = `${PATH}/${view.id}`;
    }
    text = JSON.stringify(view);
  } catch (error) {
    ({ status, headers, text } = refusalOf(d.log, asRefused(error), request));
  }
  account(d, { request, method: "POST", route: PATH, status, from });
  headers["content-length"] = String(Buffer.byteLength(text));
  outgoing.writeHead(status, headers);
  outgoing.end(text);
}
