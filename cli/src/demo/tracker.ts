import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { usage } from "../failure.ts";
import { parseJson, reasonOf } from "../input.ts";

const HOST = "127.0.0.1";
const BODY_CHARS_MAX = 65_536;

export interface Issue {
  number: number;
  title: string;
  body: string;
  state: "open" | "closed";
}

/** A call as it arrived. */
export interface SeenCall {
  method: string;
  path: string;
  /** The header `Authorization`, whole. */
  authorization: string;
  status: number;
}

/** An issue tracker with a real listener, behind a bearer token: what the story's agent wants to reach. */
export interface Tracker {
  /** `http://127.0.0.1:PORT` */
  origin: string;
  project: string;
  /** Where its issues are read and opened. */
  url: string;
  readonly issues: readonly Issue[];
  readonly calls: readonly SeenCall[];
  close(): Promise<void>;
}

/** @throws Failure exit 2 when the file of its first issues cannot be read. */
export async function openTracker(file: string, token: string): Promise<Tracker> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw usage(`${file} cannot be read: ${reasonOf(error)}.`);
  });
  const issues = parseJson(text, file) as Issue[];
  const project = "orders";
  const path = `/v1/projects/${project}/issues`;
  const calls: SeenCall[] = [];
  const server = createServer((request, response) => {
    void answer(request, { issues, path, token }).then(([status, body]) => {
      const { method = "", url = "", headers } = request;
      calls.push({ method, path: url, authorization: headers.authorization ?? "", status });
      send(response, status, body);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, HOST, resolve);
  });
  const origin = `http://${HOST}:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    project,
    url: origin + path,
    issues,
    calls,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

type Answer = readonly [status: number, body: unknown];

async function answer(
  request: IncomingMessage,
  { issues, path, token }: { issues: Issue[]; path: string; token: string },
): Promise<Answer> {
  const body = await bodyOf(request);
  if (request.headers.authorization !== `Bearer ${token}`) return [401, { detail: "This token is not known here." }];
  if (request.url !== path) return [404, { detail: "There is no such thing here." }];
  if (request.method === "GET") return [200, issues];
  if (request.method !== "POST") return [405, { detail: "Issues are read and opened." }];
  const asked = issueOf(body);
  if (asked === undefined) return [400, { detail: "An issue has a title and a body." }];
  const issue: Issue = { number: Math.max(0, ...issues.map(({ number }) => number)) + 1, ...asked, state: "open" };
  issues.push(issue);
  return [201, issue];
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  try {
    for await (const chunk of request.setEncoding("utf8")) {
      if (text.length < BODY_CHARS_MAX) text += chunk;
    }
  } catch {
    // The caller has gone: what it wanted is answered to nobody.
  }
  return text;
}

function issueOf(text: string): { title: string; body: string } | undefined {
  try {
    const { title, body } = JSON.parse(text) as Partial<Issue>;
    return typeof title === "string" && typeof body === "string" ? { title, body } : undefined;
  } catch {
    // What cannot be read is answered with 400.
    return undefined;
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
