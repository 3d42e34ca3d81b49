// Writes route-planner/graph/network.json: towns with their positions, and the roads between near ones.
import { writeFileSync } from "node:fs";
import { dice, padded } from "./dice.mjs";

const { between, pick } = dice(61);
const first = ["Alder", "Brook", "Cliff", "Dove", "Elm", "Fern", "Gull", "Heath", "Iron", "Juniper", "Kings", "Linden"];
const last = ["bridge", "field", "ford", "gate", "haven", "mill", "port", "stead", "well", "wick"];
const names = first.flatMap((a) => last.map((b) => a + b));

/** Whole metres on a plane of 200 by 200 km. */
const towns = names.map((name) => ({ name, x: between(0, 200_000), y: between(0, 200_000) }));
const apart = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);
const kinds = { motorway: 120, trunk: 90, local: 55 };

const roads = new Map();
for (const town of towns) {
  const near = towns.filter((other) => other !== town).sort((a, b) => apart(town, a) - apart(town, b));
  for (const other of [...near.slice(0, 3), near[between(5, 9)]]) {
    const key = [town.name, other.name].sort().join(" ");
    const kind = pick(Object.keys(kinds));
    // A road is never shorter than the straight line.
    const length_m = Math.ceil(apart(town, other) * (1 + between(5, 45) / 100));
    if (!roads.has(key)) roads.set(key, { from: town.name, to: other.name, kind, kmh: kinds[kind], length_m });
  }
}
// The island: two towns with a road between them and none to the rest.
towns.push({ name: "Northholm", x: 190_000, y: 230_000 }, { name: "Southholm", x: 192_000, y: 221_000 });
roads.set("holm", { from: "Northholm", to: "Southholm", kind: "local", kmh: 55, length_m: 10_400 });

writeFileSync(
  new URL("../route-planner/graph/network.json", import.meta.url),
  `${JSON.stringify({ towns, roads: [...roads.values()] }, null, 1)}\n`,
);

const trips = Array.from({ length: 12 }, (_, n) => ({
  id: `T${padded(n + 1, 2)}`,
  from: names[between(0, 59)],
  to: names[between(60, 119)],
  by: n % 2 === 0 ? "distance" : "time",
}));
trips.push({ id: "T13", from: "Alderbridge", to: "Northholm", by: "distance" });
trips.push({ id: "T14", from: "Northholm", to: "Southholm", by: "time" });
trips.push({ id: "T15", from: "Elmwick", to: "Elmwick", by: "time" });
trips.push({ id: "T16", from: "Elmwick", to: "Atlantis", by: "distance" });
writeFileSync(new URL("../route-planner/trips.json", import.meta.url), `${JSON.stringify(trips, null, 2)}\n`);
