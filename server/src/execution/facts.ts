import type { CodeFacts, SourceCode } from "./contract.ts";
import type { Linked } from "./imports.ts";
import { codeBytes, isScript } from "./modules.ts";

const HOSTS_MAX = 32;
const HOST = /\b(?:https?|wss?):\/\/([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])/g;
const DYNAMIC = /\beval\s*\(|\bnew\s+Function\b/;

/** Well-known shapes of credentials. A match is a reason to look, not proof. */
const SECRETS: Record<string, RegExp> = {
  aws_access_key: /\bAKIA[0-9A-Z]{16}\b/,
  gantry_token: /\bgtr_(?:hum|agt|svc|lnk)_[0-9A-Za-z]{36}\b/,
  github_token: /\bgh[pousr]_[0-9A-Za-z]{36}\b/,
  google_api_key: /\bAIza[0-9A-Za-z_-]{35}\b/,
  private_key: /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/,
  slack_token: /\bxox[abprs]-[0-9A-Za-z-]{10,}/,
  stripe_key: /\b[rs]k_live_[0-9A-Za-z]{24,}/,
};

/** What can be seen in the sources. */
export function codeFacts(code: SourceCode, linked: readonly Linked[]): CodeFacts {
  const texts = Object.values(code.modules).filter((content) => typeof content === "string");
  const scripts = Object.entries(code.modules)
    .filter(([name]) => isScript(name))
    .map(([, content]) => String(content));
  const hosts = new Set(
    scripts.flatMap((text) => [...text.matchAll(HOST)].map(([, host]) => String(host).toLowerCase())),
  );
  return {
    modules: Object.keys(code.modules).length,
    bytes: codeBytes(code),
    imports: [...new Set(linked.flatMap(({ runtime }) => runtime))].sort(),
    hosts: [...hosts].sort().slice(0, HOSTS_MAX),
    dynamic_code: linked.some(({ computed }) => computed) || scripts.some((text) => DYNAMIC.test(text)),
    wasm: Object.keys(code.modules).some((name) => name.endsWith(".wasm")),
    secrets: Object.entries(SECRETS)
      .filter(([, pattern]) => texts.some((text) => pattern.test(text)))
      .map(([name]) => name)
      .sort(),
  };
}
