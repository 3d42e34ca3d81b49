import { expect, test } from "vitest";
import { approvalPage, spanText } from "./approval_page.ts";
import { approvalView } from "./testing.ts";

const plain = { paint: (_tone: string, text: string) => text, width: 80, now: 1_700_000_000_000 };

test("the page tells in reading order who wants what, what is new, the code, why, how far, what was, who voted", async () => {
  const view = await approvalView({
    votes: [{ actor: "act_3", vote: "approve", note: "looks fine", at: 1_700_000_060_000, proofs: [] }],
    similar: [
      {
        id: "apr_0",
        status: "executed",
        requester: "act_2",
        resource: "code:aaa",
        target: "production",
        decided_at: 1_699_900_000_000,
      },
    ],
  });
  expect(approvalPage(view, plain)).toBe(`apr_1  pending

Who wants what
  what         agent local asks to run code under ship
  why          ticket 7
  by           agent act_2 for human act_1
  action       run.submit code:abc
  target       production
  contract     ship@3
  gate         deploy: 2 people, independence principal
  waits until  2023-11-15 22:13:20Z (24 h from now)
  then starts  within 1 h of the deciding vote

What it may do beyond what was approved last
  ! added  /egress/0
      POST to api.example.com
    narrowed  /limits/wall_ms
      30000 becomes 1000

The code
  code hash     ${"0".repeat(64)}
  submitted by  act_2

  --- approved
  +++ asked
  @@ -1 +1 @@
  -a
  +b

Why a person is asked
  rule   gates/0 of ship@3: deploy
  codes  GATE_REQUIRED

Rehearsal
  There was none.

How far it reaches, and how it is undone
  hosts       api.example.com
  methods     POST
  apps        none
  effects     at most 5
  percent     does not apply
  reversible  no
  undone by   nobody knows

Decided about the like
  WHEN          STATUS    APPROVAL  TARGET
  11-13 18:26Z  executed  apr_0     production

Votes
  VOTE     BY     WHEN          NOTE
  approve  act_3  11-14 22:14Z  looks fine
  approvals     1 of 2
  may not vote  act_2

statement  ${view.statement_hash}
`);
});

test("nothing that somebody else wrote moves the cursor, turns the writing or begins a section", async () => {
  const evil = "x\u001b[2J\n\nVotes\n  approvals  2 of 2\u202e";
  const view = await approvalView({
    code: evil,
    votes: [{ actor: "act_3", vote: "approve", note: evil, at: 1, proofs: [] }],
    statement: { gate: evil, target: evil },
    preview: {
      summary: evil,
      why: evil,
      diff: evil,
      rehearsal: evil,
      provenance: { [evil]: evil },
      delta: [{ at: evil, change: evil, loosens: true, text: evil }],
      verdict: { codes: [evil], rule: evil },
    },
  });
  const page = approvalPage(view, plain);
  expect(page).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f\u202e]/);
  expect(page.match(/^Votes$/gm)).toHaveLength(1);
  expect(page).toContain("\\x1b[2J");
});

test("colours mark what loosens and the lines of the diff, on a terminal alone", async () => {
  const page = approvalPage(await approvalView(), { ...plain, paint: (tone, text) => `<${tone}>${text}</>` });
  expect(page).toContain("<red>! added</>");
  expect(page).toContain("<green>  narrowed</>");
  expect(page).toContain("<red>  -a</>");
  expect(page).toContain("<green>  +b</>");
});

test("spans are said in the two units that matter", () => {
  const said = [0, -5, 59_400, 60_000, 3_599_000, 3_600_000, 5_400_000, 172_800_000, 180_000_000].map(spanText);
  expect(said).toEqual(["0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "1 h 30 min", "2 d", "2 d 2 h"]);
});
