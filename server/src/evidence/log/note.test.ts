import { spawnSync } from "node:child_process";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { need } from "../../../../tests/fixtures/need.ts";
import { systemRandom } from "../../kernel/random.ts";
import { NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX, ORIGIN_CHARS_MAX } from "../contract.ts";
import { signerOf } from "./key.ts";
import {
  checkpointText,
  isNoteName,
  type NoteKey,
  type NoteSigner,
  openNote,
  parseCheckpoint,
  parseVkey,
  signNote,
} from "./note.ts";
import { generateKey } from "./private_key.ts";

const NAME = "note.test/log";
const TEXT = "somebody says\n\nthat it is so\n";

function keyPair(name = NAME): { signer: NoteSigner; key: NoteKey; pem: string } {
  const pem = generateKey(systemRandom());
  const signer = signerOf(name, pem);
  return { signer, key: parseVkey(signer.vkey)!, pem };
}

const { signer, key, pem } = keyPair();
const other = keyPair();
const note = signNote(TEXT, [signer]);
const fault = (text: string, keys = [key]) => {
  const opened = openNote(text, keys);
  return "fault" in opened ? opened.fault : undefined;
};

describe("a verifier key", () => {
  it("is read as others write it", () => {
    // The Go checksum database's, as it is published.
    const vkey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    expect(parseVkey(vkey)).toMatchObject({ name: "sum.golang.org", id: "033de0ae" });
  });

  it.each([
    ["", "nothing"],
    ["sum.golang.org+033de0af+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", "another id"],
    ["sum.golang.com+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", "another name"],
    ["sum.golang.org+033de0ae+As4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8", "another kind of key"],
    ["sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuA", "a short key"],
    ["sum.golang.org+033de0ae", "no key"],
    ["+".repeat(100_000), "many plus signs"],
  ])("%s is none", (vkey, _why) => {
    expect(parseVkey(vkey)).toBeUndefined();
  });

  it("has a name without spaces and plus, of ORIGIN_CHARS_MAX characters at most", () => {
    expect(isNoteName("x".repeat(ORIGIN_CHARS_MAX))).toBe(true);
    expect(isNoteName("x".repeat(ORIGIN_CHARS_MAX + 1))).toBe(false);
    for (const name of ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\u2003b", "a\u3000b", "a\u0085b", "a\ud800"]) {
      expect(isNoteName(name), JSON.stringify(name)).toBe(false);
    }
    expect(isNoteName("grüße.example/log")).toBe(true);
  });
});

describe("a signed note", () => {
  it("is opened with its key, and says what was signed", () => {
    expect(openNote(note, [other.key, key])).toEqual({ text: TEXT, signed_by: [key] });
  });

  it("is checked by openssl", (context) => {
    const directory = mkdtempSync(join(tmpdir(), "gn-"));
    try {
      const file = (name: string, content: string | Uint8Array): string => {
        writeFileSync(join(directory, name), content);
        return join(directory, name);
      };
      const public_pem = createPublicKey(createPrivateKey(pem)).export({ format: "pem", type: "spki" });
      const encoded = note.trimEnd().split(" ").at(-1)!;
      const signature = file("sig", Buffer.from(encoded, "base64").subarray(4));
      const args = ["pkeyutl", "-verify", "-pubin", "-inkey", file("pub", public_pem), "-rawin"];
      const run = (text: string) => spawnSync("openssl", [...args, "-in", file("body", text), "-sigfile", signature]);
      need(context, "openssl", run(TEXT).error?.message);
      expect(run(TEXT).status).toBe(0);
      expect(run(`${TEXT} `).status).not.toBe(0);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("counts each known key once it has signed, in the order of the lines", () => {
    const both = signNote(TEXT, [signer, other.signer]);
    expect(openNote(both, [other.key, key])).toEqual({ text: TEXT, signed_by: [key, other.key] });
    expect(openNote(both, [other.key])).toEqual({ text: TEXT, signed_by: [other.key] });
  });

  it("is believed by nobody who does not know its key, even if the name is the same", () => {
    expect(fault(note, [other.key])).toBe("is signed by no key that is known");
    expect(fault(note, [])).toBe("is signed by no key that is known");
    expect(fault(note, [{ ...key, name: "note.test/other" }])).toBe("is signed by no key that is known");
  });

  it("is condemned by one wrong signature of a known key, whoever else has signed", () => {
    const forged = { ...other.signer, sign: () => new Uint8Array(64) };
    const text = signNote(TEXT, [signer, forged]);
    expect(fault(text, [key, other.key])).toBe(`is not signed by ${NAME}`);
    expect(fault(text, [key])).toBeUndefined();
  });

  it("has NOTE_SIGNATURES_MAX lines at most, of unknown keys too", () => {
    const many = (lines: number) =>
      signNote(TEXT, [signer, ...Array.from({ length: lines - 1 }, (_, n) => keyPair(`w${n}`).signer)]);
    expect(fault(many(NOTE_SIGNATURES_MAX))).toBeUndefined();
    expect(fault(many(NOTE_SIGNATURES_MAX + 1))).toBe("has more than 16 signatures");
  });

  it("has NOTE_BYTES_MAX bytes at most", () => {
    const long = (bytes: number) =>
      signNote(`${"x".repeat(bytes - Buffer.byteLength(signNote("\n", [signer])))}\n`, [signer]);
    expect(Buffer.byteLength(long(NOTE_BYTES_MAX))).toBe(NOTE_BYTES_MAX);
    expect(fault(long(NOTE_BYTES_MAX))).toBeUndefined();
    expect(fault(long(NOTE_BYTES_MAX + 1))).toBe("has more than 131072 bytes");
  });

  it.each([
    ["nothing", ""],
    ["no signature", `${TEXT}\n`],
    ["no newline at its end", note.slice(0, -1)],
    ["a carriage return", note.replaceAll("\n", "\r\n")],
    ["a NUL", note.replace("somebody", "some\0body")],
    ["a lone surrogate", note.replace("somebody", "some\ud800body")],
    ["a hyphen for a dash", note.replace("— ", "- ")],
    ["two spaces", note.replace("— ", "—  ")],
    ["a word too much", note.replace(/\n$/, " more\n")],
    ["base64 that is not canonical", note.replace(/\n$/, "=\n")],
    ["base64 of the other alphabet", note.replace(/ \S+\n$/, " ____\n")],
    ["a signature of the id alone", note.replace(/ \S+\n$/, ` ${Buffer.from(key.id, "hex").toString("base64")}\n`)],
    ["an empty line more", note.replace(/\n$/, "\n\n")],
  ])("with %s is none", (_what, text) => {
    expect(fault(text)).toMatch(/^(has|is) /);
  });

  it("is refused when one bit of it is another, and never a crash", () => {
    fc.assert(
      fc.property(fc.nat(Buffer.byteLength(note) * 8 - 1), (bit) => {
        const bytes = Buffer.from(note);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        const text = bytes.toString("utf8");
        expect(fault(text)).toBeDefined();
      }),
    );
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => fault(text) !== undefined));
  });
});

describe("a checkpoint", () => {
  const checkpoint = { origin: NAME, size: 20_852_163, root: new Uint8Array(32).fill(7) };
  const text = checkpointText(checkpoint);

  it("is three lines, and read back from them or from a whole note", () => {
    expect(text).toBe(`${NAME}\n20852163\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n`);
    expect(parseCheckpoint(text)).toEqual(checkpoint);
    expect(parseCheckpoint(signNote(text, [signer]))).toEqual(checkpoint);
    expect(parseCheckpoint(checkpointText({ ...checkpoint, size: 0 }))?.size).toBe(0);
    expect(parseCheckpoint(checkpointText({ ...checkpoint, size: Number.MAX_SAFE_INTEGER }))?.size).toBe(2 ** 53 - 1);
  });

  it.each([
    ["a leading zero", text.replace("\n2", "\n02")],
    ["a sign", text.replace("\n2", "\n+2")],
    ["a size that is not safe", text.replace("20852163", "9007199254740993")],
    ["an exponent", text.replace("20852163", "2e7")],
    ["a short root", text.replace("BwcHBw", "Bw")],
    ["an extension line", `${text}more\n`],
    ["no newline at its end", text.slice(0, -1)],
    ["a name with a space", text.replace("note.test", "note test")],
    ["nothing", ""],
  ])("with %s is none", (_what, wrong) => {
    expect(parseCheckpoint(wrong)).toBeUndefined();
  });
});
