import type { HostLine, HostModule, RunCall } from "../../../isolate/src/protocol.ts";
import { type Clock, within } from "../kernel/clock.ts";
import type { Random } from "../kernel/random.ts";
import type { ExitInfo, JailedProcess } from "./adapters/jailed_process.ts";
import type { Watchdog } from "./adapters/watchdog.ts";
import { Blocked } from "./blocked.ts";
import { type Ending, type Job, type Outcome, RUNNER_THREADS_MAX, type RunDoor } from "./contract.ts";
import { limitError, lostError } from "./endings.ts";
import { LineSplitter, RunLog } from "./logs.ts";
import { judgeAnswer, readAnswer } from "./result.ts";
import type { Conviction } from "./watch.ts";

export interface TrialDeps {
  watchdog: Watchdog;
  clock: Clock;
  random: Random;
}

/** Why it ended, before anything is measured. */
type Verdict = Pick<Outcome, "ending" | "result" | "http" | "error"> & {
  output_bytes?: number;
  conviction?: Conviction;
  /** The host's answer was read to its end. */
  answered?: true;
};

const MB = 1024 * 1024;
/** A process whose connection broke and that is still there after this long is not dying. */
const DYING_MS = 500;

/** One job in one process, from the call to the measured outcome. The process is dead afterwards. */
export class Trial {
  readonly #process: JailedProcess;
  readonly #job: Job;
  readonly #door: RunDoor;
  readonly #deps: TrialDeps;
  readonly #base: { cpu_ms: number; rss_bytes: number; rss_peak_bytes: number };
  readonly #began: number;
  readonly #blocked = new Blocked();
  readonly #log: RunLog;
  readonly #nonces: { log_nonce: string; host_nonce: string };
  #started: number | undefined;
  #settle: (verdict: Verdict) => void = () => {};
  #log_end: () => void = () => {};
  readonly #log_ended = new Promise<void>((resolve) => {
    this.#log_end = resolve;
  });

  constructor(process: JailedProcess, job: Job, door: RunDoor, deps: TrialDeps) {
    this.#process = process;
    this.#job = job;
    this.#door = door;
    this.#deps = deps;
    this.#base = process.use() ?? { cpu_ms: 0, rss_bytes: 0, rss_peak_bytes: 0 };
    this.#began = deps.clock.monotonic();
    const nonce = (): string => Buffer.from(deps.random.bytes(16)).toString("hex");
    this.#nonces = { log_nonce: nonce(), host_nonce: nonce() };
    this.#log = new RunLog({
      ...this.#nonces,
      bytes_max: job.limits.log_bytes_max,
      now: () => deps.clock.now(),
      on_line: (line) => door.log(line),
      on_host: (line) => this.#hear(line),
      on_flood: () => this.#settle({ ending: "log_exceeded", error: limitError("log_exceeded", job.limits) }),
    });
  }

  /** The first reason to end wins; whatever happens afterwards is a consequence of it. */
  async run(signal: AbortSignal): Promise<Outcome> {
    const listening = this.#listen();
    const cancel = new AbortController();
    const cancelled = (): void =>
      this.#settle({ ending: "cancelled", error: limitError("cancelled", this.#job.limits) });
    const verdict = await new Promise<Verdict>((settle) => {
      this.#settle = settle;
      signal.addEventListener("abort", cancelled);
      if (signal.aborted) return cancelled();
      this.#watch();
      this.#call(cancel.signal).then(
        (answered) => settle(answered),
        () => void this.#broken().then(settle),
      );
    });
    signal.removeEventListener("abort", cancelled);
    const ended = this.#deps.clock.monotonic();
    const use = this.#process.use();
    // An answer ends the log with a line of its own; without one the log ends with the process. Waiting for the process
    // in every case would cost the 30 ms that a jail takes to fall apart.
    if (verdict.answered === true) await Promise.race([this.#log_ended, this.#process.dead]);
    cancel.abort();
    this.#process.kill();
    if (verdict.answered !== true) await this.#process.dead;
    listening();
    this.#deps.watchdog.forget(this.#process.id);
    return this.#measure(verdict, ended, use);
  }

  #watch(): void {
    const { cpu_ms, wall_ms, memory_mb } = this.#job.limits;
    this.#deps.watchdog.watch(
      {
        runner: this.#process.id,
        pid: this.#process.pid,
        cpu_ms,
        wall_ms,
        memory_bytes: memory_mb * MB,
        rss_base_bytes: this.#base.rss_bytes,
        threads_max: RUNNER_THREADS_MAX,
      },
      (conviction) => this.#settle(this.#convict(conviction)),
    );
  }

  #listen(): () => void {
    const lines = new LineSplitter((line) => this.#log.line(line));
    const { stdout, stderr } = this.#process;
    stdout.on("data", (chunk: Buffer) => {
      this.#log.count(chunk.length);
      lines.push(chunk);
    });
    stdout.resume(); // it was paused when the primer had said its last
    // What the engine itself says is not the guest's log, but a guest can make it talk.
    stderr.on("data", (chunk: Buffer) => this.#log.count(chunk.length));
    return () => lines.flush();
  }

  async #call(signal: AbortSignal): Promise<Verdict> {
    const response = await this.#process.client.run(JSON.stringify(this.#body()), signal);
    const answer = await readAnswer(response, this.#job.limits.output_bytes_max);
    if (answer === undefined)
      return { ending: "output_exceeded", error: limitError("output_exceeded", this.#job.limits) };
    const verdict = { ...judgeAnswer(answer, this.#job.code), answered: true as const };
    if (verdict.ending === "output_exceeded") {
      return { ...verdict, error: limitError("output_exceeded", this.#job.limits) };
    }
    return verdict.ending === "completed" ? { ...verdict, output_bytes: answer.body.length } : verdict;
  }

  #body(): RunCall {
    const { code, run, deadline_at, vars, input, limits } = this.#job;
    return {
      run,
      deadline: deadline_at,
      entry: code.entry,
      modules: Object.fromEntries(
        code.modules.map(({ name, type, content }) => [name, { [type]: content } as HostModule]),
      ),
      node_compat: code.facts.imports.some((name) => name.startsWith("node:")),
      vars,
      input,
      output_bytes_max: limits.output_bytes_max,
      ...this.#nonces,
    };
  }

  #hear(line: HostLine): void {
    switch (line.event) {
      case "started":
        this.#started = this.#deps.clock.monotonic();
        this.#door.started();
        return;
      case "blocked":
        this.#blocked.add(line.host, line.method);
        return;
      case "ended":
        this.#log_end();
        return;
    }
  }

  #convict(conviction: Conviction): Verdict {
    if (conviction.reason === "threads_exceeded") {
      return { ending: "runner_lost", error: lostError("it started too many threads"), conviction };
    }
    const { reason } = conviction;
    return { ending: reason, error: limitError(reason, this.#job.limits, conviction), conviction };
  }

  /** The connection broke: as a rule because the process is dying, and its end says why. */
  async #broken(): Promise<Verdict> {
    const exit = await within<ExitInfo | undefined>(this.#deps.clock, DYING_MS, this.#process.dead, () => undefined);
    if (exit !== undefined) return this.#explain(exit);
    const detail = "The body of the response broke off: the program failed while it was sending it.";
    return { ending: "threw", error: { code: "RUN_THREW", detail } };
  }

  /** A process that ended by itself: a conviction that crossed the exit, the engine's own last words, or nothing known. */
  async #explain(exit: ExitInfo): Promise<Verdict> {
    const conviction = await this.#deps.watchdog.convictionOf(this.#process.id);
    if (conviction !== undefined) return this.#convict(conviction);
    const ending = classifyExit(exit);
    return { ending, error: ending === "runner_lost" ? lostError() : limitError(ending, this.#job.limits) };
  }

  #measure(verdict: Verdict, ended: number, use: ReturnType<JailedProcess["use"]>): Outcome {
    const started = Math.min(this.#started ?? ended, ended);
    const { ending, result, http, error, conviction, output_bytes = 0 } = verdict;
    const peak = use === undefined ? 0 : this.#peakBytes(use);
    return {
      ending,
      ...(result === undefined ? {} : { result }),
      ...(http === undefined ? {} : { http }),
      ...(error === undefined ? {} : { error }),
      startup_ms: started - this.#began,
      completion_ms: ended - started,
      cpu_ms: Math.max(conviction?.cpu_ms ?? 0, use === undefined ? 0 : use.cpu_ms - this.#base.cpu_ms),
      rss_peak_mb: Math.max(conviction?.rss_peak_bytes ?? 0, peak) / MB,
      output_bytes,
      log_bytes: this.#log.bytes,
      log_dropped: this.#log.dropped,
      blocked: this.#blocked.rows(),
    };
  }

  /** The kernel's high-water mark may date from the boot; then the present size is the better answer. */
  #peakBytes(use: { rss_bytes: number; rss_peak_bytes: number }): number {
    const high = use.rss_peak_bytes > this.#base.rss_peak_bytes ? use.rss_peak_bytes : use.rss_bytes;
    return Math.max(0, high - this.#base.rss_bytes);
  }
}

/** SIGXCPU is 24; a jail that waits for its child reports it as 128 + 24. V8 says why it gave up before it does. */
export function classifyExit(exit: ExitInfo): Extract<Ending, "cpu_exceeded" | "memory_exceeded" | "runner_lost"> {
  if (exit.signal === "SIGXCPU" || exit.code === 152) return "cpu_exceeded";
  return /heap out of memory|Fatal process out of memory|std::bad_alloc/.test(exit.stderr)
    ? "memory_exceeded"
    : "runner_lost";
}
