import { fastest_kmh, type Road, type Town } from "../graph/roads.ts";

export type Measure = "distance" | "time";

const seconds = (metres: number, kmh: number) => (metres * 3.6) / kmh;

/** What a road costs: metres, or seconds at its speed limit. */
export const costOf = (road: Road, by: Measure): number =>
  by === "distance" ? road.length_m : seconds(road.length_m, road.kmh);

/** Never more than what is left: the straight line, driven at the fastest limit there is. */
export function atLeast(a: Town, b: Town, by: Measure): number {
  const straight = Math.hypot(a.x - b.x, a.y - b.y);
  return by === "distance" ? straight : seconds(straight, fastest_kmh);
}
