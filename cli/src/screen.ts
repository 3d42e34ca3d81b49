import { stripVTControlCharacters } from "node:util";
import type { Terminal } from "./terminal.ts";

/** Of ECMA-48 and xterm: another screen, so that what stood on this one comes back; without the cursor. */
const ENTER = "\u001b[?1049h\u001b[?25l\u001b[2J";
const LEAVE = "\u001b[?25h\u001b[?1049l";
/** A terminal that knows "synchronized output" shows a frame when it is whole; others ignore this. */
const BEGIN = "\u001b[?2026h\u001b[H";
const END = "\u001b[J\u001b[?2026l";
/** Erases what an earlier frame has left of the line. */
const REST = "\u001b[K";

/** The whole terminal, redrawn in place. */
export interface Screen {
  /** Shows these lines from the top; what does not fit is cut. One write, and nothing is blank between two frames. */
  draw(lines: readonly string[]): void;
  /** Gives the terminal back as it was. More than once does nothing. */
  close(): void;
}

/** Takes the terminal until `close`, or until the process ends, however it does. */
export function openScreen(io: Pick<Terminal, "stdout" | "onExit">): Screen {
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    forget();
    io.stdout.write(LEAVE);
  };
  const forget = io.onExit(close);
  io.stdout.write(ENTER);
  return {
    draw(lines) {
      if (!open) return;
      const { columns, rows } = io.stdout;
      const shown = lines.slice(0, rows).map((line) => cutPainted(line, columns) + REST);
      io.stdout.write(BEGIN + shown.join("\r\n") + END);
    },
    close,
  };
}

/** The line in so many columns: colours take none, and what is cut ends without them. */
export function cutPainted(line: string, columns: number): string {
  if (stripVTControlCharacters(line).length <= columns) return line;
  let room = Math.max(0, columns - 1);
  let kept = "";
  for (const [piece] of line.matchAll(/\u001b\[[0-9;]*m|[\s\S]/gu)) {
    if (piece.startsWith("\u001b")) kept += piece;
    else if (room > 0) {
      kept += piece;
      room -= 1;
    }
  }
  return `${kept}…`;
}
