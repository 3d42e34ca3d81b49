import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { makeToken } from "../identity/token.ts";
import { maskText } from "./mask.ts";
import { systemRandom } from "./random.ts";

// Put together here, so that no scanner takes this file for a leak.
const pem = (kind: string, end = `-----END ${kind}PRIVATE KEY-----`) =>
  `-----BEGIN ${kind}PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7c\n+/zq==\n${end}`;
const jwt = ["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0In0", "dozjgNryP4J3jVmNHl0w5N"].join(".");
const tokens = [
  makeToken("hum", systemRandom()),
  makeToken("agt", systemRandom()),
  makeToken("svc", systemRandom()),
  `AK${"IA"}ABCDEFGHIJKLMNOP`,
  `AS${"IA"}ABCDEFGHIJKLMNOP`,
  `ghp${"_"}${"aB3".repeat(12)}`,
  `ghs${"_"}${"aB3".repeat(12)}`,
  `github${"_pat_"}${"aB3_".repeat(20)}`,
  `glpat${"-"}${"aB3-".repeat(5)}`,
  `xoxb${"-"}123456789012-abcdefABCDEF`,
  `xapp${"-"}1-A0123-456-abcdef`,
  `sk${"_live_"}${"aB3".repeat(8)}`,
  jwt,
  `${jwt}.AxY8DCtDaGlsbGljb3RoZQ.KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY`,
  "4111111111111111",
  "4111 1111 1111 1111",
  "3782-822463-10005",
  "some.body+tag@mail.example.com",
];
const whole = [pem("RSA "), pem("EC "), pem(""), pem("OPENSSH ")];

describe("what looks like a secret", () => {
  it.each([
    ["password=hunter2", "password=[masked:secret]"],
    ["the PASSWORD : hunter2 and more", "the PASSWORD : [masked:secret] and more"],
    ['db_password: "correct horse battery"', 'db_password: "[masked:secret]"'],
    ["pwd='it\\'s long' x", "pwd='[masked:secret]' x"],
    ['{"api_key": "abc", "n": 1}', '{"api_key": "[masked:secret]", "n": 1}'],
    ["AWS_SECRET_ACCESS_KEY=wJalr/XUtn+FEMI next", "AWS_SECRET_ACCESS_KEY=[masked:secret] next"],
    ["?access_token=abc&x=1", "?access_token=[masked:secret]&x=1"],
    ["client_secret => abc", "client_secret => [masked:secret]"],
    ["Authorization: Bearer abc.def", "Authorization: [masked:secret]"],
    ["Proxy-Authorization: Basic dXNlcjpwYXNz\nHost: a", "Proxy-Authorization: [masked:secret]\nHost: a"],
    ['{"Authorization":"Bearer abc","x":1}', '{"Authorization":"[masked:secret]","x":1}'],
    ["curl -H 'authorization: token abc' https://a.b", "curl -H 'authorization: [masked:secret]' https://a.b"],
    ["use bearer abcdefghijklmnop1234 there", "use bearer [masked:token] there"],
    ["https://user:p@ss@host.example/x", "https://[masked:credentials]@host.example/x"],
    ["postgres://app:pw@db:5432/x?y=1", "postgres://[masked:credentials]@db:5432/x?y=1"],
    ["write to me@example.com.", "write to [masked:email]."],
    ["card 4111-1111-1111-1111, ok", "card [masked:digits], ok"],
    [`before ${pem("RSA ")} after`, "before [masked:private_key] after"],
    [`cut ${pem("", "")}`, "cut [masked:private_key]"],
    [pem("PGP ").replaceAll("KEY--", "KEY BLOCK--"), "[masked:private_key]"],
  ])("%s", (text, masked) => {
    expect(maskText(text)).toBe(masked);
    expect(maskText(masked)).toBe(masked);
  });

  it("is masked also in JSON that is a string of JSON, though more may go with it", () => {
    const text = JSON.stringify(JSON.stringify({ a: 1, password: 'hun"ter2', Authorization: "Basic dXNlcg==" }));
    const masked = maskText(text);
    expect(masked).toContain("[masked:secret]");
    expect(masked).not.toMatch(/ter2|dXNlcg/);
  });

  it.each([...tokens, ...whole])("%s goes, wherever it stands between words", (token) => {
    const words = fc.stringMatching(/^[ -~\n]{0,40}$/);
    fc.assert(
      fc.property(words, words, (before, after) => {
        const masked = maskText(`${before} ${token} ${after}`);
        expect(masked).not.toContain(token);
      }),
      { numRuns: 60 },
    );
  });
});

describe("a masked text", () => {
  const piece = fc.oneof(
    fc.constantFrom(...tokens, ...whole, "password", "=", ":", '"', "'", "\\", " ", "\n", "@", "://", "[masked:email]"),
    fc.constantFrom("eyJ", ".", "-----BEGIN ", "PRIVATE KEY-----", "1234", "-", "bearer ", "authorization", "[", "]"),
    fc.string({ maxLength: 12 }),
  );

  it("is its own answer, whatever the text was", () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 24 }), (pieces) => {
        const masked = maskText(pieces.join(""));
        expect(maskText(masked)).toBe(masked);
        expect(maskText(pieces.join(""))).toBe(masked);
      }),
      { numRuns: 3_000 },
    );
  });

  it("shows no token that was in it, in whatever order they came", () => {
    const spaced = fc.array(fc.oneof(fc.constantFrom(...tokens), fc.constantFrom("a", "and", "the key is")), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(spaced, (words) => {
        const masked = maskText(words.join(" "));
        for (const token of tokens) expect(masked).not.toContain(token);
      }),
    );
  });

  it("has lost what another secret hid, too", () => {
    // A JWT begins where a word does: this one does only once the digits before it are gone.
    const hidden = `12345678901234${["eyJhbGciOiJIUzI1NiJ9", "dozjgNryP4J3jVmNHl0w5N"].join(".")}`;
    expect(maskText(hidden)).toBe("[masked:digits][masked:token]");
    expect(maskText("[masked:text]")).toBe("[masked:text]");
  });
});

describe("any other text", () => {
  it.each([
    "Sum the orders of the last week, and say which token ring was meant.",
    "at 1760000000000 it took 1234567 ms, version 1.2.3, 2024-10-09T10:00:00Z",
    "const password = readPassword; // a name and a value: masked, see below".replace(/password = \S+/, "word = x;"),
    "task-management-of-a-rather-long-name eyJournal keyJobIdentifier.method.call",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".replace(/\d{14,}/, "x"),
    "run_01j9zq3v6we8k9m4t2x7c5d0ab and https://example.com/a@b and git+ssh://host",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "a\u0000b \ud800 \u{1f600} Ä",
    "",
  ])("%s is unchanged", (text) => {
    expect(maskText(text)).toBe(text);
  });

  it("of plain words is unchanged", () => {
    const word = fc
      .stringMatching(/^[a-zäß]{1,9}[,.!?]?$/)
      .filter((each) => !/pass|pwd|secret|token|key|cred|auth/.test(each));
    fc.assert(
      fc.property(fc.array(fc.oneof(word, fc.nat(9_999).map(String)), { maxLength: 40 }), (words) => {
        // Four numbers in a row are what a card looks like; two are not.
        const text = words.join(" x ");
        expect(maskText(text)).toBe(text);
      }),
    );
  });
});

describe("the time that masking takes", () => {
  const hostile = [
    ["a", "a@", "a.", "x@a.", "eyJ", "eyJaaaaa.", "a://", "AAAAAAAAAAAAAAAA://", "1", "1234 1234 ", "=", "'"],
    ["-----BEGIN ", "-----BEGIN PRIVATE KEY", "password", 'password="', 'password="\\', "password=' ", "bearer "],
    ["authorization:", "gtr_", "gtr_abc_", "sk_live_", `${"a".repeat(64)}@${"a-.".repeat(50)}`, "12345678901234eyJ"],
  ].flat();

  it.each(hostile)("grows with the text and no faster: %s", (part) => {
    const took = (bytes: number): number => {
      const text = part.repeat(Math.ceil(bytes / part.length));
      // Of the processor, which others may keep busy meanwhile.
      const times = [1, 2, 3].map(() => {
        const started = process.cpuUsage();
        maskText(text);
        return process.cpuUsage(started).user / 1_000;
      });
      return Math.min(...times);
    };
    // Of 32 times the text a quadratic part would make 1,024 times the time. The floor keeps the clock's grain out.
    const floor = Math.max(took(8_192), 1);
    expect(took(262_144)).toBeLessThan(256 * floor);
  });
});
