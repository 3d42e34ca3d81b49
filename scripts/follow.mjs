// Follows pages of the documentation as somebody would who types what they say: each command runs, and prints what stands there.
// Usage: follow.mjs [--clone DIR] [--transcript FILE] [--limit SECONDS] [--real-npx] [PAGE...]; without
// pages, those of follow_pages.json that newcomer.mjs does not follow already, and the rest of the README.
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { COMMAND_LIMIT_MS, followPage } from "./follow/walk.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    clone: { type: "string", default: root },
    transcript: { type: "string" },
    limit: { type: "string", default: String(COMMAND_LIMIT_MS / 1_000) },
    "real-npx": { type: "boolean", default: false },
  },
});

const clone = resolve(values.clone);
/** @type {{ newcomer: string[], others: string[] }} */
const listed = JSON.parse(readFileSync(new URL("follow_pages.json", import.meta.url), "utf8"));
const pages =
  positionals.length > 0 ? positionals.map((page) => resolve(page)) : listed.others.map((page) => resolve(clone, page));
if (values.transcript !== undefined) writeFileSync(values.transcript, "");

let surprises = 0;
for (const page of pages) {
  const shown = relative(clone, page).startsWith("..") ? page : relative(clone, page);
  const from_ms = Date.now();
  const transcript = [`\n##### ${shown}\n`];
  /** @type {import("./follow/walk.mjs").Surprise | undefined} */
  let surprise;
  try {
    surprise = await followPage(readFileSync(page, "utf8"), {
      clone,
      limit_ms: Number(values.limit) * 1_000,
      real_npx: values["real-npx"],
      say: (text) => void transcript.push(text),
    });
  } catch (error) {
    surprise = { line: 0, what: error instanceof Error ? error.message : String(error) };
  }
  if (values.transcript !== undefined) appendFileSync(values.transcript, transcript.join(""));
  const took = `${((Date.now() - from_ms) / 1_000).toFixed(1)} s`;
  if (surprise === undefined) {
    console.log(`followed  ${shown}  ${took}`);
    continue;
  }
  surprises += 1;
  console.log(`surprised ${shown}:${surprise.line}  ${surprise.what}  ${took}`);
  for (const part of /** @type {const} */ (["expected", "got"])) {
    if (surprise[part] !== undefined) console.log(`--- ${part}\n${surprise[part].trimEnd()}`);
  }
  if (values.transcript === undefined) console.log(`--- all of it\n${transcript.join("").trimEnd()}`);
  console.log("---");
}
process.exit(surprises === 0 ? 0 : 1);
