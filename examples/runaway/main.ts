/**
 * Looks for a number that is not there. It never yields, so nothing inside the isolate can stop it:
 * the run ends `cpu_exceeded`, its process is killed from outside, and no other run notices.
 */
export default function (wanted: { modulus: number; remainder: number }): number {
  for (let n = 1; ; n = (n + 1) % 1_000_003) {
    // A square is never 3 modulo 4.
    if ((n * n) % wanted.modulus === wanted.remainder) return n;
  }
}
