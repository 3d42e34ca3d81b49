import { byName, type Road, roadsFrom } from "../graph/roads.ts";
import { atLeast, costOf, type Measure } from "./cost.ts";
import { Heap } from "./heap.ts";

export interface Path {
  towns: string[];
  roads: Road[];
  /** Towns whose roads were followed until the goal was settled. */
  visited: number;
}

/** A* with the straight line as its guess, so the first time the goal comes up, the path is the best one. */
export function shortestPath(from: string, to: string, by: Measure): Path | undefined {
  const goal = byName.get(to);
  const best = new Map<string, number>([[from, 0]]);
  const came = new Map<string, { from: string; road: Road }>();
  const done = new Set<string>();
  const open = new Heap<string>();
  open.push(from, 0);
  for (let town = open.pop(); town !== undefined; town = open.pop()) {
    if (town === to) return { ...trace(from, to, came), visited: done.size };
    if (done.has(town)) continue;
    done.add(town);
    for (const road of roadsFrom(town)) {
      const cost = (best.get(town) ?? 0) + costOf(road, by);
      if (cost >= (best.get(road.to) ?? Number.POSITIVE_INFINITY)) continue;
      best.set(road.to, cost);
      came.set(road.to, { from: town, road });
      const next = byName.get(road.to);
      if (next && goal) open.push(road.to, cost + atLeast(next, goal, by));
    }
  }
  return undefined;
}

function trace(from: string, to: string, came: Map<string, { from: string; road: Road }>) {
  const towns = [to];
  const roads: Road[] = [];
  for (let town = to; town !== from; ) {
    const step = came.get(town);
    if (!step) throw new Error(`The way back from ${town} is lost.`);
    towns.unshift(step.from);
    roads.unshift(step.road);
    town = step.from;
  }
  return { towns, roads };
}
