import type { Page } from "@gantry/sdk";
import { usage } from "./failure.ts";

/** What a list command prints unless told otherwise. */
const LIMIT_DEFAULT = 20;
/** The most that one request gives; more are fetched page by page. */
const PAGE_MAX = 200;
/** The most that a list prints. */
export const LIMIT_MAX = 10_000;

/** The flag of every list. */
export const limit_arg = {
  limit: { type: "string", valueHint: "N", description: `at most so many (default ${LIMIT_DEFAULT})` },
} as const;

/** @throws Failure exit 2 */
export function parseLimit(text: string | undefined): number {
  const limit = text === undefined ? LIMIT_DEFAULT : /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw usage(`--limit takes a number from 1 to ${LIMIT_MAX}, not "${text}".`);
}

/**
 * The first `limit` items, over as many pages as that takes.
 * @returns whether there are more, too.
 */
export async function take<T>(
  limit: number,
  pages: (page_limit: number) => AsyncIterable<Page<T>>,
): Promise<{ items: T[]; more: boolean }> {
  const items: T[] = [];
  for await (const page of pages(Math.min(limit, PAGE_MAX))) {
    items.push(...page.items);
    if (items.length >= limit)
      return { items: items.slice(0, limit), more: items.length > limit || page.next !== undefined };
  }
  return { items, more: false };
}
