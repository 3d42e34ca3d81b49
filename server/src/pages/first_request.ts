/** What an agent does for its first request; `tests/e2e/pages_approvals.test.ts` does exactly this. */
export const FIRST_REQUEST = [
  "npx gantry contracts new --like docs-reader",
  "export GANTRY_TOKEN=$(npx gantry tokens mint --actor local --scope contract:propose --scope contract:read)",
  "npx gantry contracts apply my-docs-reader.yaml",
].join("\n");
