import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { connect, dataDirectory } from "./connect.ts";
import { stubServer, tempDirectory } from "./testing.ts";

let cwd = "";
let remove = async (): Promise<void> => undefined;
beforeEach(async () => {
  ({ path: cwd, remove } = await tempDirectory());
});
afterEach(() => remove());

test("the data directory is the flag, else GANTRY_DATA, else ./.gantry", () => {
  expect(dataDirectory("d", { env: { GANTRY_DATA: "/e" }, cwd: "/c" })).toBe("/c/d");
  expect(dataDirectory(undefined, { env: { GANTRY_DATA: "/e" }, cwd: "/c" })).toBe("/e");
  expect(dataDirectory(undefined, { env: { GANTRY_DATA: "" }, cwd: "/c" })).toBe("/c/.gantry");
});

test("a missing server is a sentence that says how to start one", async () => {
  await expect(connect(undefined, { env: {}, cwd })).rejects.toMatchObject({
    exit: 2,
    message: "No Gantry server runs on the data directory .gantry.",
    parts: { next_steps: [{ command: "npx gantry up" }, {}] },
  });
  await expect(connect("other", { env: {}, cwd })).rejects.toMatchObject({
    parts: { next_steps: [{ command: "npx gantry up --data other" }, {}] },
  });
});

test("a URL without a token is refused, so that the owner's token goes nowhere else", async () => {
  await expect(connect(undefined, { env: { GANTRY_URL: "http://127.0.0.1:1" }, cwd })).rejects.toThrow(
    "GANTRY_URL is set, but GANTRY_TOKEN is not",
  );
});

test("server.json and owner.token lead to the server; GANTRY_TOKEN replaces the owner's", async () => {
  const { url, seen, close } = await stubServer(() => [200, { items: [] }]);
  try {
    await writeFile(join(cwd, "server.json"), JSON.stringify({ url }));
    await expect(connect(cwd, { env: {}, cwd })).rejects.toThrow("There is no owner.token that you may read.");
    await writeFile(join(cwd, "owner.token"), "gtr_owner\n");
    await (await connect(cwd, { env: { GANTRY_URL: "http://127.0.0.1:1" }, cwd })).runs.list();
    await (await connect(cwd, { env: { GANTRY_TOKEN: "gtr_mine" }, cwd })).runs.list();
    await (await connect(undefined, { env: { GANTRY_URL: url, GANTRY_TOKEN: "gtr_env" }, cwd })).runs.list();
    expect(seen.map(({ token }) => token)).toEqual(["Bearer gtr_owner", "Bearer gtr_mine", "Bearer gtr_env"]);
  } finally {
    await close();
  }
});

test.each(["", "{", "[]", '{"url": 5}'])("a server.json of %j is told", async (content) => {
  await writeFile(join(cwd, "server.json"), content);
  await expect(connect(cwd, { env: {}, cwd })).rejects.toThrow("server.json does not name a URL");
});
