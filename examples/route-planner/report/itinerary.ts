import type { Path } from "../search/a_star.ts";
import { costOf, type Measure } from "../search/cost.ts";

export interface Trip {
  id: string;
  from: string;
  to: string;
  by: Measure;
}

/** One trip as a driver reads it: the towns on the way, its length and its whole minutes. */
export function itinerary(trip: Trip, { towns, roads, visited }: Path) {
  const total = (by: Measure) => roads.reduce((sum, road) => sum + costOf(road, by), 0);
  return {
    id: trip.id,
    by: trip.by,
    via: towns,
    length_m: total("distance"),
    minutes: Math.round(total("time") / 60),
    visited,
  };
}
