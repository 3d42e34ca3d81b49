/** Names, methods and paths as contracts write them and as requests are judged: canonical, so that equal means the same text. */

/** Of contracts, gates, rules, secrets, services and environments. */
export function isName(text: string): boolean {
  return /^[a-z][a-z0-9-]{0,62}$/.test(text);
}

/** RFC 9110, 5.6.2 and 9.1, of which only what is in use: methods are case-sensitive; CONNECT and TRACE are never sent. */
export function isMethod(text: string): boolean {
  return /^[A-Z][A-Z0-9_-]{0,31}$/.test(text) && text !== "CONNECT" && text !== "TRACE";
}

/**
 * Is it a path as it is sent? It starts with `/`, has no query, no `.` or `..`, nothing that the parser of URLs would
 * write otherwise, and no `%2f`, `%5c` or `%2e`, which servers read in two ways. `*` is any characters.
 */
export function isPathPattern(path: string): boolean {
  if (!path.startsWith("/") || path.startsWith("//") || /[?#\\\s]|%(?:2f|5c|2e)/i.test(path)) return false;
  return URL.canParse(`https://x${path}`) && new URL(`https://x${path}`).pathname === path;
}
