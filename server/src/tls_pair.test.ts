import { spawnSync } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, type TestContext } from "vitest";
import { getOverTls } from "../../tests/fixtures/get_over_tls.ts";
import { need } from "../../tests/fixtures/need.ts";
import { makeCertificate, opensslMissing } from "../../tests/fixtures/throwaway_certificate.ts";
import { VirtualClock } from "../../tests/fixtures/virtual_clock.ts";
import type { Config } from "./config.ts";
import { TLS_POLL_MS } from "./http/contract.ts";
import { isInClear, openListener, pairAtStart } from "./serving/listening.ts";
import { CERTIFICATE_WARNED_DAYS, readPair, tlsChoice } from "./tls_pair.ts";

const DAY_MS = 86_400_000;
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "gtls-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const demandOpenssl = (context: TestContext) => need(context, "openssl", opensslMissing());

const choice = () => ({ cert: join(directory, "cert.pem"), key: join(directory, "key.pem") });
/** Puts a new pair into place. */
async function placed(names = ["gantry.example", "IP:127.0.0.1"]) {
  const made = await makeCertificate(names);
  await made.remove();
  writeFileSync(choice().cert, made.cert);
  writeFileSync(choice().key, made.key, { mode: 0o600 });
  return made;
}

it("files of a certificate are named from the config file's place", () => {
  expect(tlsChoice({ cert: "c.pem", key: "/k.pem" }, "/etc/gantry/gantry.yaml")).toEqual({
    cert: "/etc/gantry/c.pem",
    key: "/k.pem",
  });
  expect(tlsChoice(undefined, "/etc/gantry/gantry.yaml")).toBeUndefined();
});

it("tokens are in the clear where other machines reach a listener without TLS", () => {
  for (const host of ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
    expect(isInClear({ host, tls: undefined }), host).toBe(false);
  for (const host of ["0.0.0.0", "::", "10.0.0.5", "gantry.example", "127.0.0.1.example"]) {
    expect(isInClear({ host, tls: undefined }), host).toBe(true);
    expect(isInClear({ host, tls: choice() }), host).toBe(false);
  }
});

describe("a certificate and its key", () => {
  beforeEach(demandOpenssl);

  it("are one pair, with a day to go", async () => {
    await placed();
    const pair = readPair(choice(), Date.now());
    expect(pair.expires_at - Date.now()).toBeGreaterThan(DAY_MS / 2);
    expect(pair.warnings).toEqual([expect.stringMatching(/cert\.pem expires in 0 days, at 20/)]);
  });

  it("name the server by its host where the certificate is good for it, else by the first name that it has", async () => {
    await placed(["*.gantry.example", "gantry.example", "IP:127.0.0.1"]);
    const pair = readPair(choice(), Date.now());
    expect(pair.nameFor("127.0.0.1")).toBe("127.0.0.1");
    expect(pair.nameFor("a.gantry.example")).toBe("a.gantry.example");
    expect(pair.nameFor("0.0.0.0")).toBe("gantry.example");
    await placed(["*.gantry.example"]);
    expect(readPair(choice(), Date.now()).nameFor("0.0.0.0")).toBe("0.0.0.0");
  });

  it("are spoken of so many days before the end, and not one day earlier; an expired one is served with a warning", async () => {
    await placed();
    const { expires_at } = readPair(choice(), Date.now());
    const warningsAt = (days: number) => readPair(choice(), expires_at - days * DAY_MS).warnings.join();
    // The fixture's certificates live a day: before that they are not good yet.
    expect(warningsAt(0.5)).toContain("expires in 0 days");
    expect(warningsAt(0)).toContain("EXPIRED");
    expect(warningsAt(CERTIFICATE_WARNED_DAYS)).toContain("until then clients refuse it");
    const made = spawnSync("/usr/bin/openssl", [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x"],
      ...["-days", String(CERTIFICATE_WARNED_DAYS + 1), "-keyout", choice().key, "-out", choice().cert],
    ]);
    expect(made.status).toBe(0);
    const end = readPair(choice(), Date.now()).expires_at;
    expect(readPair(choice(), end - CERTIFICATE_WARNED_DAYS * DAY_MS).warnings).toEqual([]);
    expect(readPair(choice(), end - CERTIFICATE_WARNED_DAYS * DAY_MS + 1).warnings.join()).toContain(
      "expires in 13 days",
    );
  });

  it("are warned of when every user can read the key, and not when its group can", async () => {
    await placed();
    chmodSync(choice().key, 0o640);
    expect(readPair(choice(), Date.now()).warnings.join()).not.toContain("can read the key");
    chmodSync(choice().key, 0o644);
    expect(readPair(choice(), Date.now()).warnings.join()).toContain(`can read the key ${choice().key}: chmod 640`);
  });

  it.each<[what: string, spoil: (made: { cert: string; key: string }) => void, says: RegExp]>([
    ["a certificate that is not there", () => rmSync(choice().cert), /^tls\.cert cannot be read: ENOENT.*cert\.pem/],
    ["a key that is not there", () => rmSync(choice().key), /^tls\.key cannot be read: ENOENT.*key\.pem/],
    ["a key in the certificate's place", ({ key }) => writeFileSync(choice().cert, key), /the wrong way round/],
    ["text in the key's place", () => writeFileSync(choice().key, "x"), /key\.pem \(tls\.key\) holds no private key/],
    [
      "a key with a passphrase",
      ({ key }) => {
        const locked = { type: "pkcs8", format: "pem", cipher: "aes128", passphrase: "secret" } as const;
        writeFileSync(choice().key, createPrivateKey(key).export(locked));
      },
      /protected by a passphrase/,
    ],
  ])("%s is refused by its name", async (_, spoil, says) => {
    spoil(await placed());
    expect(() => readPair(choice(), Date.now())).toThrow(says);
  });

  it("of two pairs are refused", async () => {
    const { key } = await placed();
    await placed();
    writeFileSync(choice().key, key);
    expect(() => readPair(choice(), Date.now())).toThrow(
      /key\.pem \(tls\.key\) does not fit the certificate .*cert\.pem/,
    );
  });
});

describe("a certificate that is renewed on the disk", () => {
  beforeEach(demandOpenssl);

  /** A listener over `choice()`, with time that the test owns and what it logged. */
  async function serving() {
    const clock = new VirtualClock(Date.now());
    const said: string[] = [];
    const say = (level: string) => (_: object, message: string) => void said.push(`${level}: ${message}`);
    const logger = { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
    const set: number[] = [];
    const metrics = { add() {}, observe() {}, set: (_: string, value: number) => void set.push(value) };
    const config = { host: "127.0.0.1", port: 0, tls: choice() } as Config;
    const ground = { clock, logger, metrics };
    const app = { fetch: () => new Response("ok") };
    const listener = await openListener(app, config, ground, pairAtStart(config, ground));
    const close = async (): Promise<void> => {
      const closed = listener.close(0);
      clock.advance(1);
      await closed;
    };
    return { clock, said, set, listener, close };
  }

  it("is taken up at the next look, and a pair that does not fit leaves the old one in place and is told once", async () => {
    const first = await placed();
    const { clock, said, set, listener, close } = await serving();
    try {
      clock.advance(TLS_POLL_MS);
      expect(said.filter((line) => !line.startsWith("warn"))).toEqual([]);
      const second = await makeCertificate(["gantry.example", "IP:127.0.0.1"]);
      await second.remove();
      writeFileSync(choice().cert, second.cert);
      for (let round = 0; round < 3; round += 1) clock.advance(TLS_POLL_MS);
      expect(said.filter((line) => line.startsWith("error"))).toEqual([
        expect.stringMatching(/is not taken up, the old one stays: .*does not fit/),
      ]);
      expect(await getOverTls(listener.url, first.cert)).toBe("ok");
      writeFileSync(choice().key, second.key);
      clock.advance(TLS_POLL_MS);
      expect(said.filter((line) => line.startsWith("info"))).toEqual(["info: took up a renewed certificate"]);
      expect(await getOverTls(listener.url, second.cert)).toBe("ok");
      await expect(getOverTls(listener.url, first.cert)).rejects.toThrow();
      expect(set.length).toBe(2);
    } finally {
      await close();
    }
  });

  it("is taken up at once when it is asked for, and through a link that leads elsewhere now", async () => {
    const first = await placed();
    const { clock, said, listener, close } = await serving();
    try {
      listener.reload();
      expect(said.filter((line) => line.startsWith("info"))).toEqual([]);
      const second = await placed();
      listener.reload();
      expect(await getOverTls(listener.url, second.cert)).toBe("ok");
      for (const [name, text] of Object.entries({ cert: first.cert, key: first.key })) {
        writeFileSync(join(directory, `${name}-0.pem`), text);
        rmSync(join(directory, `${name}.pem`));
        symlinkSync(`${name}-0.pem`, join(directory, `${name}.pem`));
      }
      clock.advance(TLS_POLL_MS);
      expect(await getOverTls(listener.url, first.cert)).toBe("ok");
    } finally {
      await close();
    }
  });
});
