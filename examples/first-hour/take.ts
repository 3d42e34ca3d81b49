/** What an agent would do that wants to take its credential along: it gives back all that its environment holds. */
export default function (_input: unknown, env: Record<string, unknown>): Record<string, unknown> {
  return { ...env };
}
