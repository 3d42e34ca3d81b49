import { expect, expectTypeOf, it } from "vitest";
import type * as wire from "../../sdk/src/types.ts";
import type { WitnessView } from "../../server/src/evidence/witness/witnesses.ts";
import {
  type LANES,
  type LogLine,
  type Page,
  type RUN_STATES,
  type RunError,
  type RunRequest,
  type RunView,
  runRequest,
  runView,
  type TERMINATIONS,
} from "../../server/src/intent/contract.ts";
import type { ProblemBody } from "../../server/src/kernel/errors.ts";
import type { ISOLATIONS } from "../../server/src/policy/contract.ts";
import { small_limits } from "../fixtures/run_facts.ts";

/** What the server's schemas accept and give is exactly what the SDK's types promise. The compiler is the judge. */
it("the types of requests and answers are the same on both sides of the wire", () => {
  expectTypeOf<RunRequest>().toEqualTypeOf<wire.RunRequest>();
  expectTypeOf<RunView>().toEqualTypeOf<wire.RunView>();
  expectTypeOf<LogLine>().toEqualTypeOf<wire.LogLine>();
  expectTypeOf<Page<RunView>>().toEqualTypeOf<wire.Page<wire.RunView>>();
  expectTypeOf<WitnessView>().toEqualTypeOf<wire.Witness>();
  expectTypeOf<ProblemBody>().toEqualTypeOf<wire.ProblemDocument>();
  expectTypeOf<RunError>().branded.toEqualTypeOf<wire.RunError>();
  expectTypeOf<(typeof ISOLATIONS)[number]>().toEqualTypeOf<wire.Isolation>();
  expectTypeOf<(typeof LANES)[number]>().toEqualTypeOf<wire.Lane>();
  expectTypeOf<(typeof RUN_STATES)[number]>().toEqualTypeOf<wire.RunState>();
  expectTypeOf<(typeof TERMINATIONS)[number]>().toEqualTypeOf<wire.Termination>();
});

it("a request and a view with every member pass the server's schemas", () => {
  const request: Required<wire.RunRequest> = {
    code: { entry: "a.ts", modules: { "a.ts": "x", "b.wasm": { base64: "AGFzbQ==" } } },
    input: { n: 1.5 },
    contract: "scratch",
    isolation: "session",
    session: "s1",
    lane: "batch",
    limits: { cpu_ms: 1 },
    vars: { A: "b" },
    snapshot: "snp_0",
    on_busy: "delay",
    wait_ms: 0,
    expires_at: 1,
    retry: "if_lost",
    why: "because",
    prompt: "do it",
  };
  expect(runRequest.parse(request)).toEqual(request);
  const limits: wire.Limits = small_limits;
  const view: Required<wire.RunView> = {
    id: "run_0",
    state: "ended",
    contract: { name: "scratch", version: 1 },
    snapshot: "snp_0",
    lane: "batch",
    isolation: "session",
    session: "s1",
    code_hash: "0",
    limits,
    attempt: 1,
    created_at: 1,
    termination: "threw",
    retry_class: "guest",
    result: null,
    error: { code: "RUN_THREW", detail: "x", problems: [{ at: "a.ts", line: 1, column: 1, text: "x" }] },
    http: { status: 200, headers: [["a", "b"]] },
    usage: { cpu_ms: 1, rss_peak_mb: 1, log_bytes: 1, log_dropped: 1, output_bytes: 1 },
    timing: { queued_ms: 1, startup_ms: 1.5, completion_ms: 1 },
    jail: "unshare",
    cold: false,
    blocked: [{ host: "a", method: "GET", count: 1 }],
    evidence: { entries: [] },
    position: 1,
    estimated_start_ms: 1,
  };
  expect(runView.parse(view)).toEqual(view);
});
