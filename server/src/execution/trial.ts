import type { HostLine, HostModule, RunCall } from "../../../isolate/src/protocol.ts";
import { type Clock, within } from "../kernel/clock.ts";
import type { Random } from "../kernel/random.ts";
import type { ExitInfo, JailedProcess, ProcessNumbers } from "./adapters/jailed_process.ts";
import type { Watchdog } from "./adapters/watchdog.ts";
import { Blocked } from "./blocked.ts";
import { type Job, type Outcome, RUNNER_THREADS_MAX, type RunDoor } from "./contract.ts";
import { limitError, lostError } from "./endings.ts";
import { classifyExit } from "./exit.ts";
import { LineSplitter, RunLog } from "./logs.ts";
import { judgeAnswer } from "./result.ts";
import type { Conviction } from "./watch.ts";

export interface TrialDeps {
  watchdog: Watchdog;
  clock: Clock;
  random: Random;
  /** CPU priority (as nice(1)) of a run that goes on for long; 0: that of all others. */
  long_run_nice: number;
}

/** Why it ended, before anything is measured. */
type Verdict = Pick<Outcome, "ending" | "result" | "http" | "error"> & {
  output_bytes?: number;
  conviction?: Conviction;
  /** The host's answer was read to its end; the log of a silent one has ended with it. */
  answered?: "silent" | "spoken";
  /** The guest's call came to its own end, so nothing of it can go on. */
  clean?: boolean;
};

export interface Ended {
  outcome: Outcome;
  /** Present when the process may serve another run: what it has used by now. */
  after?: ProcessNumbers;
}

const MB = 1024 * 1024;
/** A process whose connection broke and that is still there after this long is not dying. */
const DYING_MS = 500;
/** The host itself needs a little to take a call; what is more than the counters' grain was somebody else's. */
const FOREIGN_MS_MIN = 10;
/** The watchdog counts in ticks of 10 ms at both ends. */
const CPU_MARGIN_MS = 20;
/** More than a look of the watchdog's takes. */
const WALL_MARGIN_MS = 100;
const NOTHING: ProcessNumbers = { cpu_ms: 0, cpu_ticks: 0, rss_bytes: 0, rss_peak_bytes: 0 };

/** One job in one process, from the call to the measured outcome. */
export class Trial {
  readonly #process: JailedProcess;
  readonly #job: Job;
  readonly #door: RunDoor;
  readonly #deps: TrialDeps;
  readonly #began: number;
  readonly #blocked = new Blocked();
  readonly #log: RunLog;
  readonly #nonces: { log_nonce: string; host_nonce: string };
  /** What the process had used when it was claimed. */
  readonly #base: ProcessNumbers;
  /** May the process have served others before? */
  #is_shared = false;
  /** Milliseconds UTC, and on the monotonic clock. */
  #called_at = 0;
  #called = 0;
  /** CPU that an ended run's remains have used since then. */
  #foreign_cpu_ms = 0;
  #watch_number = 0;
  /** Monotonic: when the host was heard to have begun. */
  #begun: number | undefined;
  /** When the guest's modules had been evaluated, as its isolate says: milliseconds UTC. */
  #started_at: number | undefined;
  #settle: (verdict: Verdict) => void = () => {};
  #closeDoor: () => void = () => {};
  #over = false;
  #log_end: () => void = () => {};
  readonly #log_ended = new Promise<void>((resolve) => {
    this.#log_end = resolve;
  });

  /** @param before  what the process had used when it was claimed; undefined when it has died since. */
  constructor(process: JailedProcess, before: ProcessNumbers | undefined, job: Job, door: RunDoor, deps: TrialDeps) {
    this.#process = process;
    this.#job = job;
    this.#door = door;
    this.#deps = deps;
    this.#base = before ?? NOTHING;
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

  /**
   * The first reason to end wins; whatever happens afterwards is a consequence of it.
   * @param keeps  may the process live on? It does only after an end that leaves nothing behind.
   */
  async run(signal: AbortSignal, keeps: boolean): Promise<Ended> {
    this.#is_shared = keeps;
    const listening = this.#listen();
    const cancelled = (): void =>
      this.#settle({ ending: "cancelled", error: limitError("cancelled", this.#job.limits) });
    const verdict = await new Promise<Verdict>((settle) => {
      this.#settle = settle;
      signal.addEventListener("abort", cancelled);
      if (signal.aborted) return cancelled();
      this.#watch();
      this.#call().then(settle, () => void this.#broken().then(settle));
    });
    this.#over = true;
    this.#closeDoor();
    signal.removeEventListener("abort", cancelled);
    const ended = this.#deps.clock.monotonic();
    const after = this.#process.use();
    // An answer is silent, or ends the log with a line of its own; without one the log ends with the process. Waiting for
    // the process in every case would cost the 30 ms that a jail takes to fall apart.
    if (verdict.answered === "spoken") await Promise.race([this.#log_ended, this.#process.dead]);
    if (keeps && verdict.clean === true && after !== undefined && this.#isClearOfLimits(after, ended)) {
      listening.stop();
      this.#deps.watchdog.rest(this.#process.id);
      return { outcome: this.#measure(verdict, ended, after), after };
    }
    this.#process.client.close();
    this.#process.kill();
    if (verdict.answered === undefined) await this.#process.dead;
    listening.flush();
    this.#deps.watchdog.forget(this.#process.id);
    return { outcome: this.#measure(this.#acquitted(verdict), ended, after) };
  }

  /**
   * The watchdog may be about to convict a run that has just ended within its limits. The kill would then meet the next
   * run in the process, so a process so near to a conviction does not get one.
   */
  #isClearOfLimits(after: ProcessNumbers, ended: number): boolean {
    const { cpu_ms, wall_ms, memory_mb } = this.#job.limits;
    return (
      this.#ownCpuMs(after) + CPU_MARGIN_MS <= cpu_ms &&
      ended - this.#began + WALL_MARGIN_MS <= wall_ms &&
      after.rss_bytes - this.#base.rss_bytes <= memory_mb * MB
    );
  }

  #ownCpuMs(now: ProcessNumbers): number {
    return now.cpu_ms - this.#base.cpu_ms - this.#foreign_cpu_ms;
  }

  #watch(): void {
    const { cpu_ms, wall_ms, memory_mb } = this.#job.limits;
    this.#watch_number = this.#deps.watchdog.watch(
      {
        runner: this.#process.id,
        cpu_ms,
        wall_ms,
        memory_bytes: memory_mb * MB,
        rss_base_bytes: this.#base.rss_bytes,
        cpu_ticks_base: this.#base.cpu_ticks,
        threads_max: RUNNER_THREADS_MAX,
        long_run_nice: this.#process.mayBeNiced ? this.#deps.long_run_nice : 0,
      },
      (conviction) => this.#settle(this.#convict(conviction)),
    );
  }

  #listen(): { flush(): void; stop(): void } {
    const lines = new LineSplitter((line) => this.#log.line(line));
    const { stdout, stderr } = this.#process;
    const said = (chunk: Buffer): void => {
      this.#log.count(chunk.length);
      lines.push(chunk);
    };
    // What the engine itself says is not the guest's log, but a guest can make it talk.
    const murmured = (chunk: Buffer): void => this.#log.count(chunk.length);
    stdout.on("data", said);
    stderr.on("data", murmured);
    stdout.resume(); // it was paused when the primer had said its last
    const stop = (): void => {
      stdout.off("data", said);
      stderr.off("data", murmured);
      stdout.resume(); // what is said while nobody runs belongs to nobody, and must not fill the pipe
    };
    return { flush: () => lines.flush(), stop };
  }

  async #call(): Promise<Verdict> {
    const door = await this.#openDoor();
    const { host_nonce } = this.#nonces;
    const body = JSON.stringify(this.#body(door));
    this.#called_at = this.#deps.clock.now();
    this.#called = this.#deps.clock.monotonic();
    const answer = await this.#process.client.run(body, host_nonce, this.#job.limits.output_bytes_max);
    if (answer === undefined)
      return { ending: "output_exceeded", error: limitError("output_exceeded", this.#job.limits) };
    const judged = judgeAnswer(answer, this.#job.code);
    this.#log.begun = true;
    this.#begin(answer.begun);
    this.#started_at = answer.started;
    const verdict = { ...judged, answered: answer.is_silent ? ("silent" as const) : ("spoken" as const) };
    if (verdict.ending === "output_exceeded") {
      return { ...verdict, error: limitError("output_exceeded", this.#job.limits) };
    }
    const clean = answer.outcome !== "stopped" && answer.outcome !== "never_settles";
    return verdict.ending === "completed"
      ? { ...verdict, clean, output_bytes: answer.body.length }
      : { ...verdict, clean };
  }

  /** @returns how the run's calls are known, if it may make any. */
  async #openDoor(): Promise<RunCall["door"]> {
    const { durable, egress } = this.#door;
    if (egress === undefined) return undefined;
    const out = await this.#process.out();
    if (this.#over) throw new Error("the run ended before it began");
    const door = { durable, handler: egress };
    if (!this.#is_shared) {
      this.#closeDoor = out.openAlone(door);
      return {};
    }
    const stamp = Buffer.from(this.#deps.random.bytes(16)).toString("hex");
    this.#closeDoor = out.open(stamp, door);
    return { stamp };
  }

  #body(door: RunCall["door"]): RunCall {
    const { code, run, session, deadline_at, vars, input, limits } = this.#job;
    return {
      run,
      ...(session === undefined ? {} : { session }),
      deadline: deadline_at,
      entry: code.entry,
      modules: Object.fromEntries(
        code.modules.map(({ name, type, content }) => [name, { [type]: content } as HostModule]),
      ),
      node_compat: code.facts.imports.some((name) => name.startsWith("node:")),
      vars,
      input,
      output_bytes_max: limits.output_bytes_max,
      log_nonce: this.#nonces.log_nonce,
      ...(door === undefined ? {} : { door }),
    };
  }

  #hear(line: HostLine): void {
    switch (line.event) {
      case "begun":
        this.#begin(line.at);
        return;
      case "blocked":
        this.#blocked.add(line.host, line.method);
        return;
      case "ended":
        this.#log_end();
        return;
    }
  }

  /** Told by a line or, if that has not been read yet, by the answer. */
  #begin(at: number): void {
    if (this.#begun !== undefined) return;
    this.#begun = this.#deps.clock.monotonic();
    this.#door.begun();
    this.#pardon(at - this.#called_at);
  }

  /**
   * Between the call and its beginning the process was busy with what an ended run had left behind, if with anything: at
   * most for that long. The line itself may be read late, when the run has used CPU of its own.
   */
  #pardon(waited_ms: number): void {
    if (!this.#is_shared || waited_ms < FOREIGN_MS_MIN) return;
    const now = this.#process.use();
    if (now === undefined) return;
    const foreign = Math.min(waited_ms, now.cpu_ms - this.#base.cpu_ms);
    if (foreign < FOREIGN_MS_MIN) return;
    this.#foreign_cpu_ms = foreign;
    this.#deps.watchdog.allow(this.#process.id, foreign);
  }

  #convict(conviction: Conviction): Verdict {
    if (conviction.reason === "threads_exceeded") {
      return { ending: "runner_lost", error: lostError("it started too many threads"), conviction };
    }
    const { reason } = conviction;
    return { ending: reason, error: limitError(reason, this.#job.limits, conviction), conviction };
  }

  /**
   * A process that served others before may have been killed for what one of them left behind: before the run had begun,
   * or because the two together were too much when the watchdog did not know yet. That is not the run's fault.
   */
  #acquitted(verdict: Verdict): Verdict {
    const { ending, conviction } = verdict;
    if (ending !== "cpu_exceeded" && ending !== "memory_exceeded") return verdict;
    const own_cpu_ms = (conviction?.cpu_ms ?? Number.POSITIVE_INFINITY) - this.#foreign_cpu_ms;
    const is_guilty = ending === "memory_exceeded" || own_cpu_ms > this.#job.limits.cpu_ms;
    if (this.#log.begun && is_guilty) return verdict;
    return { ending: "runner_lost", error: lostError("an ended run had left work behind in it") };
  }

  /** The connection broke: as a rule because the process is dying, and its end says why. */
  async #broken(): Promise<Verdict> {
    const dead = within<ExitInfo | undefined>(this.#deps.clock, DYING_MS, this.#process.dead, () => undefined);
    let exit = await dead;
    if (exit === undefined && !this.#log.begun) {
      this.#process.kill();
      exit = await this.#process.dead;
    }
    if (exit !== undefined) return this.#explain(exit);
    const detail = "The body of the response broke off: the program failed while it was sending it.";
    return { ending: "threw", error: { code: "RUN_THREW", detail } };
  }

  /** A process that ended by itself: a conviction that crossed the exit, the engine's own last words, or nothing known. */
  async #explain(exit: ExitInfo): Promise<Verdict> {
    const conviction = await this.#deps.watchdog.convictionOf(this.#process.id, this.#watch_number);
    if (conviction !== undefined) return this.#convict(conviction);
    const ending = classifyExit(exit);
    return { ending, error: ending === "runner_lost" ? lostError() : limitError(ending, this.#job.limits) };
  }

  /**
   * To the millisecond, which is the engine's own clock: a word from the guest's isolate, before its code is called, would
   * be exact, but costs a small run a twentieth. Of a run that did not answer it is only known when its process began.
   */
  #startedBy(ended: number): number {
    const called_for = this.#started_at === undefined ? undefined : this.#started_at - this.#called_at;
    const started = called_for === undefined ? (this.#begun ?? ended) : this.#called + called_for;
    return Math.min(Math.max(started, this.#called), ended);
  }

  #measure(verdict: Verdict, ended: number, use: ProcessNumbers | undefined): Outcome {
    const started = this.#startedBy(ended);
    const { ending, result, http, error, conviction, output_bytes = 0 } = verdict;
    const peak = use === undefined ? 0 : peakAbove(this.#base, use);
    return {
      ending,
      begun: ending !== "runner_lost" || this.#log.begun,
      ...(result === undefined ? {} : { result }),
      ...(http === undefined ? {} : { http }),
      ...(error === undefined ? {} : { error }),
      startup_ms: started - this.#began,
      completion_ms: ended - started,
      cpu_ms: Math.max((conviction?.cpu_ms ?? 0) - this.#foreign_cpu_ms, use === undefined ? 0 : this.#ownCpuMs(use)),
      rss_peak_mb: Math.max(conviction?.rss_peak_bytes ?? 0, peak) / MB,
      output_bytes,
      log_bytes: this.#log.bytes,
      log_dropped: this.#log.dropped,
      blocked: this.#blocked.rows(),
    };
  }
}

/** The kernel's high-water mark may date from before; then the present size is the better answer. */
function peakAbove(base: ProcessNumbers, use: ProcessNumbers): number {
  const high = use.rss_peak_bytes > base.rss_peak_bytes ? use.rss_peak_bytes : use.rss_bytes;
  return Math.max(0, high - base.rss_bytes);
}
