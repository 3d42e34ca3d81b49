import type { Sink } from "./terminal.ts";
import { cut, duration } from "./text.ts";

const REFRESH_MS = 100;
/** Work that is quicker than this shows nothing, so that short runs do not flicker. */
const SHOWN_AFTER_MS = 300;
/** Carriage return and "erase to the end of the line" (ECMA-48, EL). */
const CLEAR = "\r\u001b[K";

/** One line on a terminal that says what is going on and for how long. Elsewhere it prints nothing of its own. */
export interface Progress {
  /** What the line says from now on. */
  say(text: string): void;
  /** Prints lines above the progress line. */
  print(text: string): void;
  /** Removes the line for good. */
  stop(): void;
}

/** @param text  what the line says at first. */
export function startProgress(sink: Sink, text: string): Progress {
  if (!sink.tty) return { say: () => undefined, print: (lines) => sink.write(lines), stop: () => undefined };
  const began = performance.now();
  let shown = false;
  let says = text;
  const draw = (): void => {
    const elapsed = performance.now() - began;
    if (elapsed < SHOWN_AFTER_MS) return;
    shown = true;
    sink.write(`${CLEAR}${cut(`${says} · ${duration(elapsed)} · Ctrl-C cancels`, sink.columns - 1)}`);
  };
  const clear = (): void => {
    if (shown) sink.write(CLEAR);
    shown = false;
  };
  const timer = setInterval(draw, REFRESH_MS);
  return {
    say(next) {
      says = next;
    },
    print(lines) {
      clear();
      sink.write(lines);
    },
    stop() {
      clearInterval(timer);
      clear();
    },
  };
}
