import { createTwoFilesPatch } from "diff";
import type { SourceCode } from "../execution/contract.ts";
import { sha256Hex } from "../kernel/hash.ts";
import { storable } from "./entries.ts";

/** Lines of context around a change. */
const CONTEXT_LINES = 3;
/** Lines that may differ in one module before it is shown whole: what comparing costs grows with their square. */
const EDITS_MAX = 1_000;
/** Stands for the side on which a module is not. */
const ABSENT = "/dev/null";

/**
 * How the code differs from what was approved before, module by module, as one unified diff; against nothing, the whole
 * text. Modules that are not text are named by size and hash. People read it in terminals: what a line may not have is
 * replaced by its picture.
 * @param chars_max  UTF-16 code units; what does not fit is cut off, and the last line says so.
 */
export function codeDiff(before: SourceCode | undefined, after: SourceCode, chars_max: number): string {
  const names = [...new Set([...Object.keys(before?.modules ?? {}), ...Object.keys(after.modules)])].sort();
  let text = "";
  for (const name of names) {
    text += moduleDiff(name, before?.modules[name], after.modules[name]);
    if (text.length > chars_max) break;
  }
  if (before !== undefined && before.entry !== after.entry) text = `entry: ${before.entry} -> ${after.entry}\n${text}`;
  return cut(visible(text), chars_max);
}

type Module = SourceCode["modules"][string];

function moduleDiff(name: string, before: Module | undefined, after: Module | undefined): string {
  const [old_text, new_text] = [textOf(before), textOf(after)];
  if (old_text === new_text && (before === undefined) === (after === undefined)) return "";
  const old_name = before === undefined ? ABSENT : `a/${name}`;
  const new_name = after === undefined ? ABSENT : `b/${name}`;
  const options = { context: CONTEXT_LINES, maxEditLength: EDITS_MAX };
  const patch = createTwoFilesPatch(old_name, new_name, old_text, new_text, undefined, undefined, options);
  // Undefined: they have too little in common.
  return patch ?? `--- ${old_name}\n+++ ${new_name}\n${lines("-", old_text)}${lines("+", new_text)}`;
}

function textOf(module: Module | undefined): string {
  if (module === undefined) return "";
  if (typeof module === "string") return module;
  return `(${module.byteLength} bytes, SHA-256 ${sha256Hex(module)})\n`;
}

function lines(mark: string, text: string): string {
  return text === "" ? "" : `${text.replace(/\n$/, "").replace(/^/gm, mark)}\n`;
}

/** Control characters, and those that turn the direction of text, show as themselves and do nothing. */
function visible(text: string): string {
  return storable(text)
    .replace(/[\u0001-\u0008\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "\ufffd");
}

const CUT = "\n… cut: the rest does not fit here; the code's hash names all of it.\n";

function cut(text: string, chars_max: number): string {
  if (text.length <= chars_max) return text;
  return text.slice(0, Math.max(0, chars_max - CUT.length)).toWellFormed() + CUT;
}
