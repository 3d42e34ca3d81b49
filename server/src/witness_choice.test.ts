import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { testNetwork } from "../../tests/fixtures/leaving.ts";
import { readConfig } from "./config.ts";
import { WITNESSES_MAX } from "./evidence/contract.ts";
import { systemClock } from "./kernel/clock.ts";
import { openSinks, type WitnessChoice } from "./witness_choice.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "gantry-config-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function read(yaml: string): WitnessChoice[] {
  const path = join(directory, "gantry.yaml");
  writeFileSync(path, yaml);
  return readConfig(["--config", path, "--data", join(directory, "d")]).witnesses;
}
const list = (...lines: string[]): string => `witnesses:\n${lines.map((line) => `  - ${line}\n`).join("")}`;
const names = (choices: WitnessChoice[]): string[] =>
  openSinks(choices, {
    clock: systemClock(),
    data: directory,
    sender: testNetwork(systemClock()).outgoing({ public_only: false }),
  }).map(({ name }) => name);

it("there are no witnesses unless the config file names some", () => {
  expect(read("{}")).toEqual([]);
  expect(readConfig([]).witnesses).toEqual([]);
});

it("a witness is a file, a git remote or a webhook; paths are relative to the config file", () => {
  const choices = read(
    list(
      "file: copies/log.txt",
      "git: /srv/witness.git",
      "git: ../w.git",
      "git: git@example.org:acme/witness.git",
      "git: ssh://git@example.org:2222/witness.git",
      "git: https://example.org/witness.git",
      "webhook: https://example.org/add-checkpoint",
      "webhook: http://127.0.0.1:1/x",
    ),
  );
  expect(choices).toEqual([
    { kind: "file", address: join(directory, "copies/log.txt") },
    { kind: "git", address: "/srv/witness.git" },
    { kind: "git", address: join(directory, "../w.git") },
    { kind: "git", address: "git@example.org:acme/witness.git" },
    { kind: "git", address: "ssh://git@example.org:2222/witness.git" },
    { kind: "git", address: "https://example.org/witness.git" },
    { kind: "webhook", address: "https://example.org/add-checkpoint" },
    { kind: "webhook", address: "http://127.0.0.1:1/x" },
  ]);
  expect(new Set(names(choices)).size).toBe(8);
});

it.each([
  "file: ''",
  'file: "a\\nb"',
  `file: ${"x".repeat(1_025)}`,
  "git: --upload-pack=touch",
  "git: -x",
  "git: ext::sh -c true",
  "git: git://example.org/w.git",
  "git: http://example.org/w.git",
  "git: file:///srv/w.git",
  "git: ssh://-oProxyCommand=true/w",
  "git: a@-b:c",
  "git: https://",
  "webhook: http://example.org/x",
  "webhook: http://127.0.0.1.example.org/x",
  "webhook: ftp://example.org/x",
  "webhook: nonsense",
  "{ file: a, git: b }",
  "{}",
  "mail: x@example.org",
  "just-a-path",
])("%s is no witness", (line) => {
  expect(() => read(list(line))).toThrow(/a witness is one of file: PATH, git: URL or PATH, webhook: URL/);
});

it("what is wrong with an address is said without the address, which may hold a password", () => {
  for (const line of ["git: http://u:canary@example.org/w.git", "webhook: http://u:canary@example.org/w"]) {
    expect(() => read(list(line))).toThrow(/witness/);
    expect(() => read(list(line))).not.toThrow(/canary/);
  }
});

it("the same witness is named once, whoever asks it", () => {
  for (const one of ["file: a", "git: /srv/w.git", "webhook: https://example.org/x"]) {
    expect(() => read(list(one, one))).toThrow(/named twice/);
  }
  expect(() => read(list("git: https://a:b@example.org/w", "git: https://example.org/w"))).toThrow(/named twice/);
  // Two paths to one file.
  expect(names(read(list("file: a", "file: ./a")))).toEqual([`file:${join(directory, "a")}`]);
});

it(`there may be ${WITNESSES_MAX} of them and no more`, () => {
  const files = Array.from({ length: WITNESSES_MAX }, (_, i) => `file: w${i}`);
  expect(read(list(...files)).length).toBe(WITNESSES_MAX);
  expect(() => read(list(...files, "file: one-more"))).toThrow(/at most 8 witnesses/);
});

it("names show neither users, passwords, queries nor the paths of webhooks", () => {
  const shown = names([
    { kind: "git", address: "https://canary:canary@example.org/acme/w.git" },
    { kind: "git", address: "ssh://git:canary@example.org/w.git" },
    { kind: "webhook", address: "https://canary:canary@example.org/canary?token=canary" },
    { kind: "webhook", address: "https://canary:canary@example.org/other?token=canary" },
  ]);
  expect(shown.slice(0, 2)).toEqual(["git:https://example.org/acme/w.git", "git:ssh://git@example.org/w.git"]);
  for (const name of shown.slice(2)) expect(name).toMatch(/^webhook:https:\/\/example\.org#[0-9a-f]{8}$/);
  expect(shown[2]).not.toBe(shown[3]);
  expect(shown.join()).not.toContain("canary");
});
