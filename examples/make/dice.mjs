/**
 * Repeatable chance for the generators: mulberry32 over a fixed seed, so that the same
 * bytes come out on every machine.
 */
export function dice(seed) {
  let state = seed >>> 0;
  const fraction = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  /** An integer from `low` to `high`, both included. */
  const between = (low, high) => low + Math.floor(fraction() * (high - low + 1));
  const pick = (list) => list[between(0, list.length - 1)];
  /** True once in `n` throws, in the long run. */
  const once_in = (n) => between(1, n) === 1;
  return { between, pick, once_in };
}

/** `12` becomes `0012` for a width of 4. */
export const padded = (n, width) => String(n).padStart(width, "0");
