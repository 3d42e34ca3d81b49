import { WorkerEntrypoint } from "cloudflare:workers";
import { byName } from "./graph/roads.ts";
import { itinerary, type Trip } from "./report/itinerary.ts";
import { shortestPath } from "./search/a_star.ts";

/** Plans each trip over the road network that is a module of this program. */
export default class Planner extends WorkerEntrypoint {
  run(trips: Trip[]) {
    const planned = trips.map((trip) => {
      const unknown = [trip.from, trip.to].filter((name) => !byName.has(name));
      if (unknown.length > 0) return { id: trip.id, problem: `no such town: ${unknown.join(", ")}` };
      const found = shortestPath(trip.from, trip.to, trip.by);
      return found ? itinerary(trip, found) : { id: trip.id, problem: "no road leads there" };
    });
    const total_m = planned.reduce((sum, trip) => sum + ("length_m" in trip ? trip.length_m : 0), 0);
    return { towns: byName.size, trips: planned, total_m };
  }
}
