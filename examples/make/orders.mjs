// Writes csv-report/orders.csv: 5,000 orders of half a year, a few of them malformed.
import { writeFileSync } from "node:fs";
import { dice, padded } from "./dice.mjs";

const { between, pick, once_in } = dice(20_260_101);
const regions = ["north", "south", "east", "west"];
const products = [
  ["Desk lamp", 2490],
  ["Office chair", 18900],
  ["Monitor arm", 7450],
  ['Monitor 27"', 24900],
  ["Notebook A5", 390],
  ["Whiteboard", 11990],
  ["Cable set", 1290],
  ["Standing desk", 42900],
];
const trades = ["Bakery", "Clinic", "Library", "Studio", "Brewery", "Bookshop", "School", "Garage"];
const places = ["Aldbrook", "Birchfield", "Castleford", "Dunmore", "Eastwick", "Farnham", "Glenrock"];
const customers = trades.flatMap((trade) => places.map((place) => `${place} ${trade}`));
customers.push("Hartmann & Sons, Ltd.", "Okafor, Lindqvist and Partners", 'The "Blue Door" Inn');

const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const money = (cents) => `${Math.floor(cents / 100)}.${padded(cents % 100, 2)}`;
const days = [31, 28, 31, 30, 31, 30];

/** A line that a real export might contain, and that a report must refuse with a reason. */
const broken = new Map([
  [311, () => "A-100311,2026-02-30,north,Dunmore Clinic,Desk lamp,2,24.90,0"],
  [902, () => "A-100902,2026-03-04,south,Eastwick School,Notebook A5,-4,3.90,0"],
  [1444, () => "A-101444,2026-01-19,centre,Farnham Studio,Cable set,1,12.90,5"],
  [1999, () => "A-101999,2026-05-02,east,Glenrock Garage,Monitor arm,1,74;50,0"],
  [2600, () => "A-102600,2026-04-11,west,Aldbrook Bakery,Office chair,2"],
  [3127, () => "A-103000,2026-06-03,west,Birchfield Library,Desk lamp,1,24.90,0"],
  [3808, () => "A-103808,2026-02-17,north,,Whiteboard,1,119.90,0"],
  [4242, () => "A-104242,2026-03-28,east,Hartmann & Sons, Ltd.,Cable set,3,12.90,0"],
  [4700, () => "A-104700,2026-06-21,south,Castleford Brewery,Standing desk,1,429.00,140"],
]);

const lines = ["order_id,date,region,customer,product,quantity,unit_price,discount_percent"];
for (let n = 0; n < 5000; n++) {
  const month = between(1, 6);
  const date = `2026-${padded(month, 2)}-${padded(between(1, days[month - 1]), 2)}`;
  const [product, cents] = pick(products);
  const quantity = once_in(400) ? between(60, 120) : between(1, 6);
  const discount = once_in(5) ? pick([5, 10, 15, 20]) : 0;
  const fields = [`A-${100_000 + n}`, date, pick(regions), pick(customers), product, quantity, money(cents), discount];
  lines.push(broken.get(n)?.() ?? fields.map((field) => quoted(String(field))).join(","));
}
writeFileSync(new URL("../csv-report/orders.csv", import.meta.url), `${lines.join("\n")}\n`);
