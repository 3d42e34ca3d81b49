import { type CompiledCode, MODULE_NAME_MAX } from "./contract.ts";
import { decodeMap, type Origin } from "./source_map.ts";

/** Frames kept of a stack. */
const FRAMES_MAX = 16;
/** Without the bound a text of nothing but name characters takes time that grows with its square. */
const PLACE = new RegExp(`([A-Za-z0-9_@$.+~/-]{1,${MODULE_NAME_MAX}}):(\\d{1,9}):(\\d{1,9})`, "g");
/** Frames of our own wrapper and host say nothing to the guest's author. */
const OURS = /^\s+at (?:.*[ (])?(?:gantry:[a-z]+|host\.js):\d/;

/** Rewrites places in a stack or message from compiled code to the lines that the author wrote. */
export function translatePlaces(text: string, code: CompiledCode): string {
  const origins = new Map<string, Origin | undefined>();
  // Decoded when first met and once: a guest may name the same place a thousand times.
  const originOf = (name: string): Origin | undefined => {
    if (!origins.has(name)) {
      const map = code.modules.find((module) => module.name === name)?.map;
      origins.set(name, map === undefined ? undefined : decodeMap(map));
    }
    return origins.get(name);
  };
  return text.replace(PLACE, (place, name: string, line: string, column: string) => {
    const found = originOf(name)?.(Number(line) - 1, Number(column) - 1);
    return found === undefined ? place : `${name}:${found.line + 1}:${found.column + 1}`;
  });
}

/** A guest's stack as its author should read it: own lines, no frames of ours. */
export function readableStack(stack: string, code: CompiledCode): string {
  const has_host = code.modules.some(({ name }) => name === "host.js");
  const lines = stack.split("\n").filter((line) => !OURS.test(line) || (has_host && line.includes("host.js:")));
  return translatePlaces(lines.slice(0, FRAMES_MAX).join("\n"), code);
}
