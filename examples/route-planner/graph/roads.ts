import network from "./network.json";

export interface Town {
  name: string;
  /** Whole metres on a plane. */
  x: number;
  y: number;
}

/** A road in one direction; every road of the network can be driven both ways. */
export interface Road {
  to: string;
  length_m: number;
  kmh: number;
}

export const byName: ReadonlyMap<string, Town> = new Map(network.towns.map((town) => [town.name, town]));

const leaving = new Map<string, Road[]>(network.towns.map((town) => [town.name, []]));
for (const { from, to, length_m, kmh } of network.roads) {
  leaving.get(from)?.push({ to, length_m, kmh });
  leaving.get(to)?.push({ to: from, length_m, kmh });
}

export const roadsFrom = (town: string): readonly Road[] => leaving.get(town) ?? [];
export const fastest_kmh = Math.max(...network.roads.map((road) => road.kmh));
