import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { difference, mask, Names } from "./compare.mjs";
import { readPage } from "./page.mjs";
import { followPage } from "./walk.mjs";

const clone = fileURLToPath(new URL("../..", import.meta.url));
const fenced = (info: string, body: string) => `\`\`\`${info}\n${body}\n\`\`\`\n`;
const follow = (text: string, limit_ms = 20_000) => followPage(text, { clone, limit_ms });

describe("a page is read", () => {
  it("as commands with what each prints, over as many lines as bash needs to see their end", () => {
    const body = "$ cat <<'END' > a\n> one\nEND\n$ echo a \\\n  b\na b\n…\n$ true";
    const [block] = readPage(`text\n${fenced("console exit 3", body)}`).blocks;
    expect(block).toEqual({
      kind: "steps",
      line: 3,
      background: false,
      steps: [
        { line: 3, text: "cat <<'END' > a\none\nEND", expected: [], exit: 0 },
        { line: 6, text: "echo a \\\n  b", expected: ["a b", "…"], exit: 0 },
        { line: 10, text: "true", expected: [], exit: 3 },
      ],
    });
  });

  it("with files, programs and their output, and without what is only shown", () => {
    const text = [
      fenced("yaml", "# file: a/b.yaml\nkind: Contract"),
      fenced("yaml", "kind: Contract"),
      fenced("ts run", "console.log(1)"),
      fenced("text output", "1"),
      fenced("text", "$ rm -rf /"),
    ].join("\n");
    expect(readPage(text).blocks.map(({ kind }) => kind)).toEqual(["file", "program"]);
    expect(readPage(text).blocks[1]).toMatchObject({ expected: ["1"] });
  });

  it("with its wishes, and what nobody sees", () => {
    const text = "<!-- follow: clone server login -->\n\n<!-- follow\nmkdir a\n-->\n";
    const page = readPage(text);
    expect(page).toMatchObject({ in_clone: true, wants_server: true, wants_login: true });
    expect(page.blocks).toMatchObject([{ kind: "steps", steps: [{ line: 4, text: "mkdir a" }] }]);
    const going_on = "<!-- follow console background\n$ up\nit is up\n-->\n";
    expect(readPage(going_on).blocks).toMatchObject([
      { background: true, steps: [{ text: "up", expected: ["it is up"] }] },
    ]);
  });

  it("from where it says, when what stands above is followed by somebody else", () => {
    const page = readPage(`${fenced("sh", "npm ci")}<!-- follow: here -->\n${fenced("sh", "true")}`);
    expect(page.blocks).toMatchObject([{ steps: [{ text: "true" }] }]);
  });

  it.each([
    ["```sh\ntrue", "line 1: what begins here has no end"],
    [fenced("console", "no prompt"), "line 2: output before any command"],
    [fenced("text output", "1"), "line 2: there is no command before this output"],
    [fenced("console background", "$ a\n$ b"), "one command can go on in the background"],
    ["<!-- follow: sever -->", "follow knows clone, here, login, server, and not sever"],
  ])("or refused with the line that is wrong: %j", (text, why) => {
    expect(() => readPage(text)).toThrow(why);
  });
});

describe("output is compared", () => {
  it.each([
    ["run_01m86ndbype00a8k5hg7g5p0dh  nightly@1, pooled", "run_01m86ndbype00a8k5hg7g5p0da nightly@1, pooled"],
    ["completed  cpu 36 ms · wall 1.2 s · peak 1 MB", "completed  cpu 9 ms · wall 45 ms · peak 12 MB"],
    ["approved until 2026-11-24 20:40:38Z", "approved until 2027-01-02 00:00:00Z"],
    ["npx gantry login gtr_lnk_…", `npx gantry login gtr_lnk_${"aB3".repeat(12)}`],
    ["http://127.0.0.1:4280/v1", "http://127.0.0.1:35001/v1"],
    ["data in /tmp/gantry-demo-EMozTI", "data in /var/tmp/gantry-demo-a1b2c3"],
    [
      "2 entries of the log gantry-fb5403b5637710cb (3,807 bytes)",
      "2 entries of the log gantry-0000000000000001 (9 bytes)",
    ],
    ["a checkpoint of its 8 entries", "a checkpoint of its 12 entries"],
    ["   12   +3.54 s  local  was applied, at index 21", "    9  +11.02 s  local  was applied, at index 4"],
    ["ports: [4280]", "ports: [35001]"],
    ["root ra+3U7otQhjNDoWB5VVhdqJKOGc+Uyh4H3rjoAbdJ90=", "root 00+3U7otQhjNDoWB5VVhdqJKOGc+Uyh4H3rjoAbdJ90="],
  ])("without what differs each time: %s", (one, other) => {
    expect(mask(one)).toBe(mask(other));
  });

  it.each([
    ["nightly@1 is in force", "nightly@2 is in force"],
    ["escaped  none", "escaped  1"],
    ["run_01m86ndbype00a8k5hg7g5p0dh", "apr_01m86ndbype00a8k5hg7g5p0dh"],
    ["Authorization", "authorization"],
  ])("and with what does not: %s", (one, other) => {
    expect(mask(one)).not.toBe(mask(other));
    expect(difference([one], other)).toBe(one);
  });

  it("with any lines for …, any text for … in a line, and lines that are broken elsewhere", () => {
    const printed = "first\nsecond line\nthird line that\nis long\nlast of 7\n";
    expect(difference(["first", "…", "third line", "that is long", "last of …"], printed)).toBeUndefined();
    expect(difference(["first", "…"], printed)).toBeUndefined();
    expect(difference(["…", "last of 7"], printed)).toBeUndefined();
    expect(difference(["…"], printed)).toBeUndefined();
    expect(difference(["first", "…", "fourth"], printed)).toBe("fourth");
    expect(difference(["second line", "…"], printed)).toBe("second line");
  });

  it("to its end: a line more, and output where the page shows none, are surprises", () => {
    expect(difference(["one"], "one\n")).toBeUndefined();
    expect(difference(["one"], "one\ntwo\n")).toBe("(the end of the output)");
    expect(difference([], "")).toBeUndefined();
    expect(difference([], "one\n")).toContain("not: one");
    expect(difference(["one", ""], "one\n")).toBeUndefined();
  });
});

describe("names of the day on which a page was written", () => {
  it("stand for the ones that were printed in their place", () => {
    const names = new Names();
    const [a, b] = ["a", "b"].map((end) => `apr_01m87h5p2ne00btt79h65svws${end}`);
    const [real, later] = ["c", "d"].map((end) => `apr_01m87h5p2ne00btt79h65svws${end}`);
    names.learn([`waits ${a}`], `waits ${real}`);
    names.learn([`waits ${b}`], `waits ${later}`);
    expect(names.fill(`approve ${a} ${b} apr_… apr_01j…`)).toBe(`approve ${real} ${later} ${later} ${later}`);
    expect(names.fill("show run_…")).toBe("show run_…");
  });

  it("are found by the line that they stand in, where others of their kind are printed before", () => {
    const names = new Names();
    const [shown, first, second] = ["1", "2", "3"].map((digit) => digit.repeat(64));
    names.learn(["…", `statement  ${shown}`], `code  ${first}\n  statement ${second}\n`);
    expect(names.fill(`approve --statement-hash ${shown}`)).toBe(`approve --statement-hash ${second}`);
  });
});

describe("a page is followed", () => {
  const directory = mkdtempSync(join(tmpdir(), "gantry-pages-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("in one shell: directories and variables stay, files are there, what went on is ended", async () => {
    const pid = join(directory, "pid");
    const text = [
      fenced("sh", 'mkdir d && cd d\nexport A=1\nf() { echo "$A"; }'),
      fenced("console", "$ pwd | sed 's#.*/##'\nd\n$ f\n1"),
      fenced("text", "b.txt is shown"),
      fenced("sh", 'cd .. && test "$(cat b.txt)" = "# file: b.txt" && test -e examples/csv-report/main.ts'),
      fenced("console background", `$ echo $BASHPID > ${pid}; echo up; exec sleep 600\nup`),
    ];
    text.splice(2, 1, fenced("text", "# file: b.txt"));
    expect(await follow(text.join("\n"))).toBeUndefined();
    expect(() => process.kill(Number(readFileSync(pid, "utf8")), 0)).toThrow("ESRCH");
  });

  it("where npx gantry is the one of the clone, and no setting of the caller's for Gantry counts", async () => {
    const text = fenced("console", "$ npx gantry --version\n0.1.0\n$ printenv GANTRY_TOKEN || echo none\nnone");
    expect(await followPage(text, { clone, env: { ...process.env, GANTRY_TOKEN: "gtr" } })).toBeUndefined();
  });

  it.each([
    ["another output", fenced("console", "$ echo one\ntwo"), { line: 2, what: "`echo one` does not print: two" }],
    ["a command that fails", fenced("sh", "true\nfalse"), { line: 3, what: "`false` ended with 1, not 0" }],
    ["one that should fail", fenced("console exit 1", "$ true"), { line: 2, what: "`true` ended with 0, not 1" }],
    ["a file that is not there", fenced("sh", "cat gone.txt"), { line: 2, what: "`cat gone.txt` ended with 1, not 0" }],
    ["a program that throws", fenced("ts run", "throw 1"), { line: 2, what: expect.stringContaining("ended with 1") }],
    ["the end of the shell", fenced("sh", "exit 4"), { line: 2, what: "`exit 4` ended with 4, not 0" }],
    [
      "an end in the background",
      fenced("console background", "$ echo no\nup"),
      { what: "`echo no`: up did not come before its end" },
    ],
  ])("until the first surprise: %s", async (_name, text, surprise) => {
    expect(await follow(text)).toMatchObject(surprise);
  });

  it("no longer than its limit: what hangs is ended and said", async () => {
    const pid = join(directory, "hung");
    const surprise = await follow(fenced("sh", `sh -c 'echo $$ > ${pid}; exec sleep 600'`), 1_000);
    expect(surprise?.what).toContain("did not end within 1 s");
    // Whoever should wait for it may not have done so yet; what has ended has no command line any more.
    const command = `/proc/${readFileSync(pid, "utf8").trim()}/cmdline`;
    expect(existsSync(command) ? readFileSync(command, "utf8") : "").toBe("");
  });

  it("by the command, which exits 1, says page, line, expected and got, and writes everything down", () => {
    const [page, transcript] = [join(directory, "a.md"), join(directory, "out")];
    writeFileSync(page, fenced("console", "$ echo one\ntwo"));
    const args = ["scripts/follow.mjs", "--transcript", transcript, page];
    const { status, stdout } = spawnSync(process.execPath, args, { cwd: clone, encoding: "utf8" });
    expect(status).toBe(1);
    expect(stdout).toMatch(/a\.md:2 {2}`echo one` does not print: two.*--- expected\ntwo\n--- got\none\n/s);
    expect(readFileSync(transcript, "utf8")).toContain("$ echo one\none\n");
  });
});
