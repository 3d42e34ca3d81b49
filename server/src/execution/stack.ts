import type { CompiledCode } from "./contract.ts";
import { sourceMap } from "./imports.ts";

/** Frames kept of a stack. */
const FRAMES_MAX = 16;
const PLACE = /([A-Za-z0-9_@$.+~/-]+):(\d+):(\d+)/g;
/** Frames of our own wrapper say nothing to the guest's author. */
const OURS = /\bgantry:|\bhost\.js:/;

/** Rewrites places in a stack or message from compiled code to the lines that the author wrote. */
export function translatePlaces(text: string, code: CompiledCode): string {
  const maps = new Map(code.modules.flatMap(({ name, map }) => (map === undefined ? [] : [[name, map] as const])));
  return text.replace(PLACE, (place, name: string, line: string, column: string) => {
    const map = maps.get(name);
    if (map === undefined) return place;
    const entry = sourceMap(map).findEntry(Number(line) - 1, Number(column) - 1);
    return "originalLine" in entry ? `${name}:${entry.originalLine + 1}:${entry.originalColumn + 1}` : place;
  });
}

/** A guest's stack as its author should read it: own lines, no frames of ours. */
export function readableStack(stack: string, code: CompiledCode): string {
  const lines = stack.split("\n").filter((line) => !OURS.test(line));
  return translatePlaces(lines.slice(0, FRAMES_MAX).join("\n"), code);
}
