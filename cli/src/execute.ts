import type { Gantry, RunRequest, RunView } from "@gantry/sdk";
import { EXIT, exitOfTermination } from "./exit.ts";
import { Failure } from "./failure.ts";
import { type Progress, startProgress } from "./progress.ts";
import { logText } from "./render.ts";
import type { Terminal } from "./terminal.ts";
import { duration, type Paint } from "./text.ts";

/** How long a run may take to end after it was cancelled. */
const CANCEL_MS = 10_000;
/** How long the last lines of the log may take after the run has ended. */
const LOG_TAIL_MS = 2_000;

/** What a caller may ask for besides the run itself. */
export interface ExecuteOptions {
  idempotency_key?: string | undefined;
  /** Cancels the run when it has not ended by then. */
  timeout_ms?: number | undefined;
  /** Who submits, when that is another than who looks: a signed task is sent without a token. */
  submitter?: Gantry | undefined;
}

/** How a run ended, and whether we ended it. */
export interface Executed {
  view: RunView;
  stopped?: "interrupt" | "timeout";
}

/** One run under way. */
interface Watch {
  gantry: Gantry;
  io: Terminal;
  paint: Paint;
  progress: Progress;
  /** Aborts the requests that wait. */
  stop: AbortController;
}

/**
 * Submits a run and stays with it until it has ended: its log goes to standard error as it is written, Ctrl-C and
 * the timeout cancel it. A second Ctrl-C stops waiting.
 * @throws GantryApiError when it is refused; Failure exit 130 or 6 when it does not end after a cancel.
 */
export async function execute(
  gantry: Gantry,
  request: RunRequest,
  io: Terminal,
  paint: Paint,
  options: ExecuteOptions = {},
): Promise<Executed> {
  const stop = new AbortController();
  const watch: Watch = { gantry, io, paint, progress: startProgress(io.stderr, "submitting"), stop };
  let stopped: Executed["stopped"];
  let cancel: () => void = () => undefined;
  const halt = (why: "interrupt" | "timeout"): void => {
    if (stopped === "interrupt" && why === "interrupt")
      stop.abort(new Failure(EXIT.cancelled, "Not waiting any longer."));
    stopped ??= why;
    cancel();
  };
  const release = io.onInterrupt(() => halt("interrupt"));
  const timer = options.timeout_ms === undefined ? undefined : setTimeout(halt, options.timeout_ms, "timeout");
  try {
    // Submitting does not wait, so that the log can be followed from the first line on.
    const started = await (options.submitter ?? gantry).runs.submit(
      { on_busy: "reject", ...request, wait_ms: 0 },
      {
        signal: stop.signal,
        ...(options.idempotency_key === undefined ? {} : { idempotency_key: options.idempotency_key }),
      },
    );
    cancel = () => void cancelRun(watch, started.id);
    if (stopped !== undefined) cancel();
    const view = await settle(watch, started);
    return stopped === undefined ? { view } : { view, stopped };
  } finally {
    clearTimeout(timer);
    release();
    watch.progress.stop();
    stop.abort();
  }
}

/** The exit code, where a timeout of ours counts as a limit. */
export function exitOfExecuted({ view, stopped }: Executed): number {
  if (stopped === "timeout" && view.termination === "cancelled") return EXIT.limit;
  return exitOfTermination(view.termination);
}

async function settle(watch: Watch, started: RunView): Promise<RunView> {
  const { gantry, progress, stop } = watch;
  if (started.state === "waiting_approval")
    progress.print(`${waitingText(started, watch.paint)}  Ctrl-C withdraws it.\n`);
  const logs = started.state === "ended" ? undefined : followLogs(watch, started.id, true);
  const view =
    started.state === "ended"
      ? started
      : await gantry.runs.wait(started.id, {
          signal: stop.signal,
          on_state: (now) => progress.say(stateText(now)),
        });
  if (logs === undefined && (view.usage?.log_bytes ?? 0) > 0) await followLogs(watch, view.id, false);
  if (logs !== undefined) await Promise.race([logs, later(LOG_TAIL_MS)]);
  return view;
}

/** What holds the run up, and who moves it on: said once, and left standing. */
export function waitingText(view: RunView, paint: Paint): string {
  const on = view.target === undefined ? "" : ` on ${view.target}`;
  const lines = [
    `${paint("yellow", "waits")} ${view.id} waits for a human: ${view.contract.name}@${view.contract.version}${on} is approved by people.`,
    `  See it: npx gantry approvals show ${view.approval ?? ""}`,
    `  Approve it, as somebody who may: npx gantry approve ${view.approval ?? ""}`,
  ];
  return `${lines.join("\n")}\n`;
}

function stateText(view: RunView): string {
  if (view.state === "waiting_approval") return `${view.id} waits for the approval ${view.approval ?? ""}`;
  if (view.state !== "queued") return `${view.id} ${view.state}`;
  const place = view.position === undefined ? "" : ` at place ${view.position}`;
  const wait = view.estimated_start_ms === undefined ? "" : `, starts in about ${duration(view.estimated_start_ms)}`;
  return `${view.id} queued${place}${wait}`;
}

/** Never rejects: a log that cannot be shown must not hide how the run ended. */
async function followLogs(watch: Watch, id: string, follow: boolean): Promise<void> {
  const { gantry, paint, progress, stop } = watch;
  try {
    for await (const line of gantry.runs.logs(id, { follow, signal: stop.signal })) {
      progress.print(`${logText(line, paint)}\n`);
    }
  } catch (error) {
    if (stop.signal.aborted) return;
    const why = error instanceof Error ? error.message : String(error);
    progress.print(`${paint("yellow", "warn")} The log cannot be shown: ${why}\n`);
  }
}

/** Asks for the end and gives the run a while to reach it. */
async function cancelRun(watch: Watch, id: string): Promise<void> {
  const { gantry, progress, stop } = watch;
  progress.say(`${id} cancelling`);
  const gave_up = new Failure(EXIT.lost, `${id} did not end within ${duration(CANCEL_MS)} of being cancelled.`);
  void later(CANCEL_MS).then(() => stop.abort(gave_up));
  try {
    await gantry.runs.cancel(id, { signal: stop.signal });
  } catch (error) {
    // Aborted: the run has ended, or the reason is known already.
    if (!stop.signal.aborted) stop.abort(error);
  }
}

/** Does not keep the process alive. */
function later(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms).unref());
}
