import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connect } from "./connect.ts";
import { localLogin, readLogin, remoteLogin, writeLogin } from "./login_file.ts";
import { runProgram } from "./program.ts";
import { stubServer, tempDirectory, testTerminal } from "./testing.ts";

let cwd = "";
let remove = async (): Promise<void> => undefined;
beforeEach(async () => {
  ({ path: cwd, remove } = await tempDirectory());
});
afterEach(() => remove());

const LATER = Date.now() + 3_600_000;
const login = { token: "gtr_login", id: "tok_1", expires_at: LATER, actor: "act_1" };
const LINK = `gtr_lnk_${"0".repeat(36)}`;
const installation = { server: "/none", examples: "/none", version: "0" };

describe("a login", () => {
  test("is kept beside owner.token, or by the hash of the URL, with mode 0600 in a directory of mode 0700", async () => {
    const env = { XDG_CONFIG_HOME: join(cwd, "config") };
    const path = remoteLogin("https://gantry.example", env);
    expect(path).toMatch(/\/config\/gantry\/logins\/[0-9a-f]{16}\.json$/);
    expect(remoteLogin("https://other.example", env)).not.toBe(path);
    expect(remoteLogin("https://gantry.example", { HOME: "/h" })).toMatch(/^\/h\/\.config\/gantry\/logins\//);
    expect(localLogin("/d")).toBe("/d/login.json");
    await writeLogin(path, { ...login, url: "https://gantry.example" }, { cwd });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(dirname(path))).mode & 0o077).toBe(0);
    expect(await readLogin(path, Date.now(), "https://gantry.example")).toMatchObject(login);
    expect(await readLogin(path, Date.now(), "https://other.example")).toBeUndefined();
    expect(await readLogin(path, Date.now())).toBeUndefined();
  });

  test("that has expired, is half written or something else is as good as none", async () => {
    const path = localLogin(cwd);
    await writeLogin(path, login, { cwd });
    expect(await readLogin(path, LATER - 1)).toMatchObject(login);
    expect(await readLogin(path, LATER)).toBeUndefined();
    for (const text of ["", "{", "null", '{"token":1}', "x".repeat(20_000)]) {
      await writeFile(path, text);
      expect(await readLogin(path, 0)).toBeUndefined();
    }
    expect(await readLogin(cwd, 0)).toBeUndefined();
  });

  test("that others can read is refused, and says what to do", async () => {
    await writeLogin(localLogin(cwd), login, { cwd });
    await chmod(localLogin(cwd), 0o640);
    await expect(readLogin(localLogin(cwd), 0)).rejects.toMatchObject({ exit: 2 });
  });

  test("wins over owner.token, and GANTRY_TOKEN over it; each goes to its own server", async () => {
    const { url, seen, close } = await stubServer(() => [200, { items: [] }]);
    try {
      await writeFile(join(cwd, "server.json"), JSON.stringify({ url }));
      await writeFile(join(cwd, "owner.token"), "gtr_owner\n");
      await (await connect(cwd, { env: {}, cwd })).runs.list();
      await writeLogin(localLogin(cwd), login, { cwd });
      await (await connect(cwd, { env: {}, cwd })).runs.list();
      await (await connect(cwd, { env: { GANTRY_TOKEN: "gtr_env" }, cwd })).runs.list();
      await writeLogin(localLogin(cwd), { ...login, expires_at: 1 }, { cwd });
      await (await connect(cwd, { env: {}, cwd })).runs.list();
      const env = { XDG_CONFIG_HOME: join(cwd, "config"), GANTRY_URL: url };
      await expect(connect(undefined, { env, cwd })).rejects.toThrow("GANTRY_TOKEN is not");
      await writeLogin(remoteLogin(url, env), { ...login, token: "gtr_there", url }, { cwd });
      await (await connect(undefined, { env, cwd })).runs.list();
      const tokens = ["gtr_owner", "gtr_login", "gtr_env", "gtr_owner", "gtr_there"];
      expect(seen.map(({ token }) => token)).toEqual(tokens.map((each) => `Bearer ${each}`));
    } finally {
      await close();
    }
  });
});

describe("gantry login and logout", () => {
  test("send no token with the link, keep what comes back, and end it on the server first", async () => {
    const minted = { id: "tok_1", secret: "gtr_hum_x", expires_at: LATER };
    const { url, seen, close } = await stubServer(({ url: path }) =>
      path === "/v1/login"
        ? [200, { token: minted, tenant: "ten_1", actor: "act_1", scopes: ["gate:approve"] }]
        : [200, { revoked: 1 }],
    );
    try {
      await writeFile(join(cwd, "server.json"), JSON.stringify({ url }));
      const io = testTerminal({ cwd, stdin: `${LINK}\n` });
      expect(await runProgram(["login", "-", "--data", cwd], io, installation)).toBe(0);
      expect(seen).toMatchObject([{ method: "POST", token: undefined, body: JSON.stringify({ link: LINK }) }]);
      expect(io.out()).toContain("Logged in as act_1");
      // What a login means for who shares the user is said, and the secret is not.
      expect(io.err()).toContain("can approve in your name");
      expect(io.out() + io.err()).not.toContain("gtr_hum_x");
      expect(JSON.parse(await readFile(localLogin(cwd), "utf8"))).toMatchObject({ token: "gtr_hum_x", id: "tok_1" });
      expect(await runProgram(["logout", "--data", cwd], io, installation)).toBe(0);
      expect(seen[1]).toMatchObject({ method: "DELETE", url: "/v1/tokens/tok_1", token: "Bearer gtr_hum_x" });
      expect(await readLogin(localLogin(cwd), 0)).toBeUndefined();
      expect(await runProgram(["logout", "--data", cwd], io, installation)).toBe(0);
      expect(io.out()).toContain("You were not logged in.");
    } finally {
      await close();
    }
  });

  test("take nothing that is no link, and say who refuses one", async () => {
    const { url, seen, close } = await stubServer(() => [
      410,
      { type: "x", status: 410, code: "LOGIN_LINK_SPENT", title: "Spent.", detail: "It was used." },
    ]);
    try {
      await mkdir(join(cwd, "d"));
      await writeFile(join(cwd, "d", "server.json"), JSON.stringify({ url }));
      const io = testTerminal({ cwd });
      expect(await runProgram(["login", "gtr_hum_0", "--data", "d"], io, installation)).toBe(2);
      expect(seen).toEqual([]);
      expect(await runProgram(["login", LINK, "--data", "d"], io, installation)).toBe(2);
      expect(io.err()).toContain("LOGIN_LINK_SPENT");
      expect(await readLogin(localLogin(join(cwd, "d")), 0)).toBeUndefined();
    } finally {
      await close();
    }
  });
});
