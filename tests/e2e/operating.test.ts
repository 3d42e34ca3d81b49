import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { connect } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../fixtures/eventually.ts";
import { getOverTls } from "../fixtures/get_over_tls.ts";
import { need } from "../fixtures/need.ts";
import { cli, type Finished, run } from "../fixtures/processes.ts";
import { type ServerOptions, serverArgs, startServer, type TestServer } from "../fixtures/server.ts";
import { makeCertificate, opensslMissing, type ThrowawayCertificate } from "../fixtures/throwaway_certificate.ts";

const servers: TestServer[] = [];
const certificates: ThrowawayCertificate[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.dispose();
  for (const certificate of certificates.splice(0)) await certificate.remove();
});

async function started(options: ServerOptions): Promise<TestServer> {
  const server = await startServer(options);
  servers.push(server);
  return server;
}

async function certificate(): Promise<ThrowawayCertificate> {
  const made = await makeCertificate(["localhost", "IP:127.0.0.1"]);
  certificates.push(made);
  return made;
}

/** Beside the config file, whose names are relative to it. */
function place(directory: string, made: { cert: string; key: string }): void {
  writeFileSync(join(directory, "cert.pem"), made.cert);
  writeFileSync(join(directory, "key.pem"), made.key, { mode: 0o600 });
}

const tls = { cert: "cert.pem", key: "key.pem" };

async function overTls(made: ThrowawayCertificate, config: Record<string, unknown> = {}): Promise<TestServer> {
  const prepare = async (data: string) => place(dirname(data), made);
  return started({ config: { tls, ...config }, prepare });
}

const hangUp = (server: TestServer) => process.kill(server.pid, "SIGHUP");
const has = (server: TestServer, text: string) => () => server.log.some((line) => line.includes(text));
const sentences = ({ stderr }: Finished) => stderr.replace(/\s+/g, " ");

describe("a server with a certificate", () => {
  it("is found by the command line over https, which wants its authority to be trusted and says how", async (context) => {
    need(context, "openssl", opensslMissing());
    const made = await certificate();
    const server = await overTls(made);
    expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    expect(server.printed).toContain(`${server.url}/v1`);
    expect(server.printed).not.toContain("WARNING");
    expect(JSON.parse(readFileSync(join(server.data, "server.json"), "utf8"))).toMatchObject({ url: server.url });

    const trusting = { NODE_EXTRA_CA_CERTS: made.file };
    const code = join(dirname(server.data), "one_more.js");
    writeFileSync(code, "export default (x) => x + 1;");
    const program = ["run", code, "--input", "41", "--data", server.data];
    const ran = await cli(program, { env: trusting });
    expect(ran.stderr).toContain("completed");
    expect(ran.stdout.trim()).toBe("42");
    const refused = await cli(program, { env: { NODE_EXTRA_CA_CERTS: undefined } });
    expect(refused.code).not.toBe(0);
    expect(sentences(refused)).toMatch(
      /signed by an authority that is not trusted here \(DEPTH_ZERO_SELF_SIGNED_CERT\)/,
    );
    expect(refused.stderr).toContain("export NODE_EXTRA_CA_CERTS=");
    expect(refused.stderr).not.toContain("npx gantry up");
  });

  it("answers curl that trusts its authority, and plain http with a sentence", async (context) => {
    need(context, "openssl", opensslMissing());
    need(context, "curl", existsSync("/usr/bin/curl") ? undefined : "no /usr/bin/curl");
    const made = await certificate();
    const server = await overTls(made);
    const ready = await run("curl", ["--silent", "--cacert", made.file, `${server.url}/readyz`]);
    expect(JSON.parse(ready.stdout)).toEqual({ ready: true, causes: [] });
    const strange = await run("curl", ["--silent", `${server.url}/readyz`]);
    expect(strange.code).toBe(60);
    const plain = await run("curl", ["--silent", "--include", `${server.url.replace("https", "http")}/readyz`]);
    expect(plain.stdout).toMatch(/^HTTP\/1\.1 400 /);
    expect(plain.stdout).toContain("This port speaks HTTPS: begin the URL with https://.");
  });

  it("takes up a renewed certificate at SIGHUP under connections that stay, and keeps the old one when the new is none", async (context) => {
    need(context, "openssl", opensslMissing());
    const [first, second] = [await certificate(), await certificate()];
    const server = await overTls(first);
    const { port } = new URL(server.url);
    const open = connect({ port: Number(port), host: "127.0.0.1", ca: first.cert });
    let answers = "";
    open.setEncoding("utf8").on("data", (text: string) => {
      answers += text;
    });
    const say = () => open.write("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    const answered = () => answers.split('{"status":"ok"}').length - 1;
    say();
    await eventually(() => answered() === 1);

    writeFileSync(join(dirname(server.data), "key.pem"), second.key);
    hangUp(server);
    await eventually(has(server, "does not fit"), "the fault to be logged");
    expect(await getOverTls(`${server.url}/healthz`, first.cert)).toContain("ok");
    place(dirname(server.data), second);
    hangUp(server);
    await eventually(has(server, "took up a renewed certificate"), "the renewal to be logged");
    expect(await getOverTls(`${server.url}/healthz`, second.cert)).toContain("ok");
    await expect(getOverTls(`${server.url}/healthz`, first.cert)).rejects.toThrow();
    say();
    await eventually(() => answered() === 2, "the old connection to be answered");
    open.destroy();
    const expires_s = Math.floor(Date.parse(new X509Certificate(second.cert).validTo) / 1_000);
    const metrics = await run("curl", ["--silent", "--cacert", second.file, `${server.url}/metrics`]);
    expect(metrics.stdout).toContain(`gantry_tls_expiry_timestamp_seconds ${expires_s}`);
    await server.stop();
  });

  it("does not start with a key of another, nor with a file that is not there, and makes no data directory", async (context) => {
    need(context, "openssl", opensslMissing());
    const [first, second] = [await certificate(), await certificate()];
    const base = dirname(first.file);
    const start = () => run(process.execPath, serverArgs(base, { config: { tls } }));
    place(base, { cert: first.cert, key: second.key });
    const wrong = await start();
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(/^gantry: The key .*key\.pem \(tls\.key\) does not fit the certificate .*cert\.pem/);
    renameSync(join(base, "key.pem"), join(base, "gone.pem"));
    const missing = await start();
    expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining("tls.key cannot be read: ENOENT") });
    expect(existsSync(join(base, "d"))).toBe(false);
    const doctor = await cli(["doctor", "--config", join(base, "config.yaml"), "--json"]);
    const checks = (JSON.parse(doctor.stdout) as { checks: { name: string; ok: unknown }[] }).checks;
    expect(checks.find(({ name }) => name === "certificate")).toMatchObject({ ok: false });
  });
});

it("a server that other machines reach in clear text says so when it starts", async () => {
  const open = await started({ config: { host: "0.0.0.0" } });
  expect(open.printed).toMatch(/WARNING: .*tokens and results travel in clear text/);
  const local = await started({});
  expect(local.printed).not.toContain("WARNING");
});

describe("a log file", () => {
  it("has what stderr would have, is opened again at SIGHUP, and is refused where it cannot be", async () => {
    const server = await started({ config: { log_file: { path: "gantry.log" }, log_level: "debug" } });
    const path = join(dirname(server.data), "gantry.log");
    // Whole ones: a file that was just opened again has none, and the last one may be on its way.
    const lines = (name = path) =>
      readFileSync(name, "utf8")
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as { level: string; message: string });
    await server.request("/readyz");
    await eventually(() => lines().some(({ message }) => message === "answered"));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(server.log).toEqual([]);
    renameSync(path, `${path}.old`);
    hangUp(server);
    await eventually(() => existsSync(path), "the file to be there again");
    await server.request("/readyz");
    await eventually(() => lines().some(({ message }) => message === "answered"));
    await server.stop();
    expect(lines().at(-1)?.message).toMatch(/told to stop|stopping/);
    await expect(server.restart({ config: { log_file: { path: "no/such/place.log" } } })).rejects.toThrow(
      /log_file\.path in the config file\) cannot be opened: ENOENT/,
    );
  });
});
