import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { newSigner, signNote } from "../../../tests/fixtures/evidence_material.ts";
import { KEY_FILE_CHARS_MAX, KEYS_MAX, parseKeys, parseVkey } from "./keys.ts";
import { NOTE_CHARS_MAX, NOTE_SIGNATURES_MAX, parseNote, splitCheckpoints, verifyNote } from "./note.ts";

const alice = newSigner("example.com/log");
const bob = newSigner("example.com/log");
const carol = newSigner("witness.example");
const keyOf = ({ vkey }: { vkey: string }) => parseVkey(vkey);
const open = (note: string, keys = [keyOf(alice)]) => verifyNote(parseNote(note), keys, alice.name);
const text = "a text\n\nwith an empty line\n";

describe("a signed note", () => {
  it("is verified by name and id of the keys that are trusted", () => {
    const id = `${alice.name}+${alice.id.toString("hex")}`;
    expect(open(signNote(text, [alice]))).toEqual([id]);
    expect(open(signNote(text, [carol, alice, bob]))).toEqual([id]);
    expect(open(signNote(text, [alice, alice]))).toEqual([id]);
    expect(parseNote(signNote(text, [alice])).text).toBe(text);
  });

  it("of two lines, as while a key is rotated, has two signers if both are trusted", () => {
    expect(open(signNote(text, [alice, bob]), [keyOf(alice), keyOf(bob)])).toHaveLength(2);
  });

  it("is verified with a PEM, whose name is the origin", () => {
    const keys = parseKeys(alice.pem);
    expect(verifyNote(parseNote(signNote(text, [alice])), keys, alice.name)).toHaveLength(1);
    expect(() => verifyNote(parseNote(signNote(text, [alice])), keys, "example.com/other")).toThrow(/No trusted key/);
  });

  it("that no trusted key signed is bad", () => {
    expect(() => open(signNote(text, [bob, carol]))).toThrow(
      expect.objectContaining({ verdict: "bad", check: "signature" }),
    );
  });

  it("with one wrong signature by a trusted key is bad, although another one is right", () => {
    const other = signNote("another text\n", [bob]).split("\n").at(-2)!;
    const note = `${signNote(text, [alice])}${other}\n`;
    expect(open(note)).toHaveLength(1);
    expect(() => open(note, [keyOf(alice), keyOf(bob)])).toThrow(/signature by .* is wrong/);
  });

  it("under the name and id of a key, made by another key, is bad", () => {
    const forged = signNote(text, [{ ...bob, id: alice.id }]);
    expect(() => open(forged)).toThrow(/is wrong/);
  });

  it.each([
    ["no empty line", "text\n— a AAAAAAA=\n"],
    ["no signature", "text\n\n"],
    ["no last newline", signNote(text, [alice]).slice(0, -1)],
    ["a control character", signNote("te\u0007xt\n", [alice])],
    ["a carriage return", signNote("text\r\n", [alice])],
    ["a hyphen for the dash", signNote(text, [alice]).replace("— ", "- ")],
    ["two spaces", signNote(text, [alice]).replace("— ", "—  ")],
    ["a plus in a name", signNote(text, [{ ...alice, name: "a+b" }])],
    ["base64 that is not canonical", signNote(text, [alice]).replace(/=\n$/, "\n")],
    ["a signature of an id alone", `${text}\n— ${alice.name} ${alice.id.toString("base64")}\n`],
    ["something after the signatures", `${signNote(text, [alice])}x\n`],
  ])("with %s is none", (_what, note) => {
    expect(() => parseNote(note)).toThrow(expect.objectContaining({ verdict: "unusable", check: "format" }));
  });

  it("has at most NOTE_SIGNATURES_MAX signatures and NOTE_CHARS_MAX characters", () => {
    const many = (n: number) => [alice, ...Array.from({ length: n - 1 }, () => carol)];
    expect(open(signNote(text, many(NOTE_SIGNATURES_MAX)))).toHaveLength(1);
    expect(() => open(signNote(text, many(NOTE_SIGNATURES_MAX + 1)))).toThrow(
      expect.objectContaining({ check: "size" }),
    );
    const rest = signNote("\n", [alice]).length;
    const long = (length: number) => signNote(`${"x".repeat(length - rest)}\n`, [alice]);
    expect(open(long(NOTE_CHARS_MAX))).toHaveLength(1);
    expect(() => open(long(NOTE_CHARS_MAX + 1))).toThrow(expect.objectContaining({ check: "size" }));
  });
});

describe("a key file", () => {
  const unusable = expect.objectContaining({ verdict: "unusable", check: "key" });

  it("has vkey lines, comments and empty lines, or one PEM", () => {
    const keys = parseKeys(`# our log\n\n${alice.vkey}\r\n  ${bob.vkey}\n`);
    expect(keys.map(({ name }) => name)).toEqual([alice.name, bob.name]);
    expect(parseKeys(alice.pem)[0]?.raw).toEqual(keys[0]?.raw);
  });

  it("with a private key is refused, although a public one could be made of it", () => {
    const pem = alice.private_key.export({ format: "pem", type: "pkcs8" }).toString();
    expect(() => parseKeys(pem)).toThrow(/private key/);
    expect(() => parseKeys(pem)).toThrow(unusable);
  });

  it.each([
    ["nothing", ""],
    ["comments alone", "# a\n"],
    ["another algorithm", generateKeyPairSync("x25519").publicKey.export({ format: "pem", type: "spki" }).toString()],
    ["two PEM blocks", `${alice.pem}${bob.pem}`],
    ["a broken PEM", alice.pem.replace(/[A-Za-z0-9+/]{20}/, "")],
    ["another id", alice.vkey.replace(/\+[0-9a-f]{8}\+/, "+00000000+")],
    ["another name", `x${alice.vkey}`],
    ["a type that is not Ed25519", `a+00000000+${Buffer.alloc(33, 4).toString("base64")}`],
    ["31 bytes", `a+00000000+${Buffer.alloc(32, 1).toString("base64")}`],
    ["a line that is no key", `${alice.vkey}\nhello\n`],
  ])("with %s is unusable", (_what, content) => {
    expect(() => parseKeys(content)).toThrow(unusable);
  });

  it("has at most KEYS_MAX keys and KEY_FILE_CHARS_MAX characters", () => {
    const lines = (n: number) => `${alice.vkey}\n`.repeat(n);
    expect(parseKeys(lines(KEYS_MAX))).toHaveLength(KEYS_MAX);
    expect(() => parseKeys(lines(KEYS_MAX + 1))).toThrow(unusable);
    const padded = (length: number) => alice.vkey.padEnd(length, "\n");
    expect(parseKeys(padded(KEY_FILE_CHARS_MAX))).toHaveLength(1);
    expect(() => parseKeys(padded(KEY_FILE_CHARS_MAX + 1))).toThrow(unusable);
  });
});

it("the checkpoints of a witness's file are told apart, whatever was cut off between them", () => {
  const note = (size: number) =>
    signNote(`${alice.name}\n${size}\n${Buffer.alloc(32, size).toString("base64")}\n`, [alice]);
  const cut = note(2).slice(0, 30);
  expect(splitCheckpoints(`${note(1)}\n${cut}\n\n${note(3)}\n`)).toEqual([note(1), note(3)]);
  expect(splitCheckpoints(note(4))).toEqual([note(4)]);
  expect(splitCheckpoints("nothing of it")).toEqual(["nothing of it"]);
});
