import { parseCsv } from "./csv.ts";
import { type Order, type Rejected, readOrder } from "./order.ts";

/**
 * Totals, best customers and outliers of an export of orders. Rows that cannot be trusted are
 * reported with their reason instead of being counted. Amounts are whole cents.
 */
export default function report(csv: string) {
  const [header, ...rows] = parseCsv(csv);
  if (header?.fields.join() !== "order_id,date,region,customer,product,quantity,unit_price,discount_percent") {
    throw new Error(`Line 1 is not the header of an order export: ${header?.fields.join() ?? "the file is empty"}`);
  }
  const orders: Order[] = [];
  const rejected: Rejected[] = [];
  const seen = new Set<string>();
  for (const row of rows) {
    const order = readOrder(row, seen);
    if ("reason" in order) rejected.push(order);
    else orders.push(order);
  }
  console.info(`${orders.length} orders read, ${rejected.length} rows rejected`);
  return {
    rows: rows.length,
    orders: orders.length,
    total_cents: sum(orders),
    by_region: totals(orders, (order) => order.region),
    by_month: totals(orders, (order) => order.date.slice(0, 7)),
    by_region_and_month: totals(orders, (order) => `${order.region} ${order.date.slice(0, 7)}`),
    top_customers: best(orders, 5),
    outliers: outliers(orders),
    rejected,
  };
}

const sum = (orders: Order[]) => orders.reduce((total, order) => total + order.total_cents, 0);

function grouped(orders: Order[], key: (order: Order) => string): Map<string, Order[]> {
  const groups = new Map<string, Order[]>();
  for (const order of orders) {
    const group = groups.get(key(order));
    if (group) group.push(order);
    else groups.set(key(order), [order]);
  }
  return groups;
}

function totals(orders: Order[], key: (order: Order) => string) {
  const names = [...grouped(orders, key)].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(names.map(([name, of]) => [name, { orders: of.length, total_cents: sum(of) }]));
}

function best(orders: Order[], count: number) {
  return [...grouped(orders, (order) => order.customer)]
    .map(([customer, of]) => ({ customer, orders: of.length, total_cents: sum(of) }))
    .sort((a, b) => b.total_cents - a.total_cents || (a.customer < b.customer ? -1 : 1))
    .slice(0, count);
}

/** Orders worth more than ten times the median order of the same product. */
function outliers(orders: Order[]) {
  const found = [...grouped(orders, (order) => order.product).values()].flatMap((of) => {
    const typical = median(of.map((order) => order.total_cents));
    return of
      .filter((order) => order.total_cents > 10 * typical)
      .map(({ id, product, quantity, total_cents }) => ({
        id,
        product,
        quantity,
        total_cents,
        typical_cents: typical,
      }));
  });
  return found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2;
}
