import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { tempDirectory } from "../testing.ts";
import { openTracker, type Tracker } from "./tracker.ts";

let remove = async (): Promise<void> => undefined;
let tracker: Tracker;
beforeEach(async () => {
  const directory = await tempDirectory();
  remove = directory.remove;
  const file = join(directory.path, "issues.json");
  await writeFile(file, JSON.stringify([{ number: 7, title: "A", body: "B", state: "open" }]));
  tracker = await openTracker(file, "right");
});
afterEach(async () => {
  await tracker.close();
  await remove();
});

const call = (init: RequestInit = {}, token = "right", url = tracker.url) =>
  fetch(url, { ...init, headers: { authorization: `Bearer ${token}` } });
const post = (body: string) => call({ method: "POST", body });

test("who has the token reads and opens issues, and each call is kept as it arrived", async () => {
  expect(await (await call()).json()).toHaveLength(1);
  const opened = await post(JSON.stringify({ title: "C", body: "D" }));
  expect(opened.status).toBe(201);
  expect(await opened.json()).toEqual({ number: 8, title: "C", body: "D", state: "open" });
  expect(tracker.issues.map(({ number }) => number)).toEqual([7, 8]);
  expect(tracker.calls).toEqual([
    { method: "GET", path: "/v1/projects/orders/issues", authorization: "Bearer right", status: 200 },
    { method: "POST", path: "/v1/projects/orders/issues", authorization: "Bearer right", status: 201 },
  ]);
});

test("who has another token gets nothing, and changes nothing", async () => {
  expect((await call({}, "wrong")).status).toBe(401);
  expect((await call({ method: "POST", body: '{"title":"C","body":"D"}' }, "wrong")).status).toBe(401);
  expect(tracker.issues).toHaveLength(1);
  expect(tracker.calls.map(({ status }) => status)).toEqual([401, 401]);
});

test("what is no issue, no path and no method of it is refused", async () => {
  expect((await post("{")).status).toBe(400);
  expect((await post('{"title":"C"}')).status).toBe(400);
  expect((await call({ method: "DELETE" })).status).toBe(405);
  expect((await call({}, "right", `${tracker.origin}/v1/projects/other/issues`)).status).toBe(404);
  expect(tracker.issues).toHaveLength(1);
});

test("a file of first issues that is not there is said", async () => {
  await expect(openTracker("/nowhere/issues.json", "t")).rejects.toThrow("/nowhere/issues.json cannot be read");
});
