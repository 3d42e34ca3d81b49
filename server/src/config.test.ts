import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { readConfig } from "./config.ts";
import {
  LOG_FILE_BYTES,
  LOG_FILE_BYTES_MAX,
  LOG_FILE_BYTES_MIN,
  LOG_FILES_KEPT,
  LOG_FILES_KEPT_MAX,
} from "./http/contract.ts";
import { NODE_SILENT_MS, NODE_SILENT_MS_MAX, NODE_SILENT_MS_MIN } from "./intent/contract.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "gantry-config-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function read(members: Record<string, unknown>) {
  const path = join(directory, "gantry.yaml");
  writeFileSync(path, JSON.stringify(members)); // JSON is YAML
  return readConfig(["--config", path, "--data", join(directory, "d")]);
}

it("blobs lie in the data directory, unless the config file names another place, from its own", () => {
  expect(read({}).blobs).toBe(join(directory, "d", "blobs"));
  expect(read({ blobs: "shared" }).blobs).toBe(join(directory, "shared"));
  expect(read({ blobs: "/srv/blobs" }).blobs).toBe("/srv/blobs");
});

it("a node's silence has bounds", () => {
  expect(read({}).node_silent_ms).toBe(NODE_SILENT_MS);
  for (const ms of [NODE_SILENT_MS_MIN, NODE_SILENT_MS_MAX])
    expect(read({ node_silent_ms: ms }).node_silent_ms).toBe(ms);
  for (const ms of [NODE_SILENT_MS_MIN - 1, NODE_SILENT_MS_MAX + 1]) {
    expect(() => read({ node_silent_ms: ms })).toThrow(/node_silent_ms/);
  }
});

it("calls leave by the system's name servers and authorities, unless the config file names others", () => {
  expect(read({}).egress).toEqual({ resolvers: undefined, ca_files: [], nat64_prefixes: [] });
  const egress = {
    resolvers: ["127.0.0.1:5353", "192.0.2.1", "2001:db8::1", "[2001:db8::1]:53"],
    ca_files: ["ca.pem", "/etc/ca.pem"],
    nat64_prefixes: ["2001:db8:64::/96", "2001:db8::/32"],
  };
  expect(read({ egress }).egress).toEqual({ ...egress, ca_files: [join(directory, "ca.pem"), "/etc/ca.pem"] });
  for (const resolver of ["localhost", "127.0.0.1:0", "127.0.0.1:65536", "[127.0.0.1]:53", "::1:", ""]) {
    expect(() => read({ egress: { resolvers: [resolver] } }), resolver).toThrow(/egress.resolvers.0/);
  }
  for (const prefix of ["10.0.0.0/8", "2001:db8::", "2001:db8::/33"]) {
    expect(() => read({ egress: { nat64_prefixes: [prefix] } }), prefix).toThrow(/egress.nat64_prefixes.0/);
  }
  expect(() => read({ egress: { resolver: ["127.0.0.1"] } })).toThrow(/egress/);
});

it("a log file is named from the config file's place, and its size and number have bounds", () => {
  const read_log = (members: object) => read({ log_file: { path: "gantry.log", ...members } }).log_file;
  expect(read({}).log_file).toBeUndefined();
  expect(read_log({})).toEqual({
    path: join(directory, "gantry.log"),
    bytes_max: LOG_FILE_BYTES,
    kept: LOG_FILES_KEPT,
  });
  for (const bytes_max of [LOG_FILE_BYTES_MIN, LOG_FILE_BYTES_MAX])
    expect(read_log({ bytes_max })).toMatchObject({ bytes_max });
  for (const kept of [1, LOG_FILES_KEPT_MAX]) expect(read_log({ kept })).toMatchObject({ kept });
  for (const bytes_max of [LOG_FILE_BYTES_MIN - 1, LOG_FILE_BYTES_MAX + 1]) {
    expect(() => read_log({ bytes_max }), `${bytes_max}`).toThrow(/log_file\.bytes_max/);
  }
  for (const kept of [0, LOG_FILES_KEPT_MAX + 1]) expect(() => read_log({ kept }), `${kept}`).toThrow(/log_file\.kept/);
  expect(() => read({ log_file: {} })).toThrow(/log_file\.path/);
});

it("a listener's certificate is two files, and both must be named", () => {
  expect(read({}).tls).toBeUndefined();
  const tls = { cert: "cert.pem", key: "/etc/ssl/key.pem" };
  expect(read({ tls }).tls).toEqual({ cert: join(directory, "cert.pem"), key: "/etc/ssl/key.pem" });
  for (const half of [{ cert: "cert.pem" }, { key: "key.pem" }]) expect(() => read({ tls: half })).toThrow(/tls\./);
  expect(() => read({ tls: { ...tls, ca: "ca.pem" } })).toThrow(/tls/);
});
