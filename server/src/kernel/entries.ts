/**
 * Where a thread's or an isolate's bundle lies. Built code has it beside itself; code that runs from source
 * (tests) uses the build's, which the test setup makes first.
 * @param name  as in `scripts/build.mjs`, e.g. `threads/writer.js`.
 */
export function entryPoint(name: string): URL {
  return import.meta.url.endsWith(".ts")
    ? new URL(`../../../dist/${name}`, import.meta.url)
    : new URL(`./${name}`, import.meta.url);
}
