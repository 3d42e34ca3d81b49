// Which file may import which: the floors of ARCHITECTURE.md, as rules. `npm run check:boundaries` runs them over this
// repository, and tests/tidy/boundaries.test.ts over small trees that break one rule each.

// From the ground up. A room may import the contracts of the rooms before its own line, and nothing of the others.
// `evidence` stands below `identity` although they share a floor: tokens are recorded, entries know no tokens.
const floors = [
  ["kernel"],
  ["storage"],
  ["evidence"],
  ["identity"],
  ["policy"],
  ["egress", "gates"],
  ["execution"],
  ["intent"],
  ["apps", "artifacts", "flags", "workflows", "changes"],
  ["mcp", "pages"],
  ["http"],
];

/**
 * Folders beside `main.ts` that are no rooms: parts of the process that serves, and the commands that do without one.
 * Neither knows the other; what both stand on is a file beside `main.ts`.
 */
const composition = ["serving", "offline"];
const COMPOSITION = `^server/src/(${composition.join("|")})/`;

/** Folders inside a room, in the order in which they may use each other: each those before it. */
const alcoves = {
  evidence: ["private", "log", "witness", "account", "audit"],
  policy: ["engine", "document", "delta", "versions", "explain"],
  egress: ["destination", "secrets", "effects", "guards", "door"],
};

const TESTS = "^tests/|\\.test\\.tsx?$|^cli/src/testing\\.ts$";
const OURS = "^(server|evaluator|isolate|sdk|cli|dashboard|scripts|bench|examples|tests)/(?!node_modules/)";
/** Rooms may be handed any of these through a port; to hold one, a file stands where rule 3 of ARCHITECTURE.md says. */
const DRIVERS =
  "^(node:)?(fs|fs/promises|child_process|cluster|dgram|dns|dns/promises|http2|https|inspector|sqlite|tls|worker_threads)$" +
  "|node_modules/(@photostructure/sqlite|pg|workerd|esbuild|undici|@hono/node-server)/";
const DRIVER_PLACES = `^server/src/((storage|execution|egress|artifacts)/adapters/|http/|[^/]+\\.ts$)|${COMPOSITION}`;

/** One rule for each floor: what stands beside or above it is out of its reach. */
const upwards = floors.flatMap((rooms, floor) =>
  rooms.map((room) => ({
    name: `${room}-looks-up`,
    comment: "A room knows nothing of the rooms beside and above it. Declare a port in its contract.ts instead.",
    severity: "error",
    from: { path: `^server/src/${room}/`, pathNot: TESTS },
    to: {
      path: `^server/src/(${
        floors
          .slice(floor)
          .flat()
          .filter((other) => other !== room)
          .join("|") || "-"
      })/`,
    },
  })),
);

/** One rule for each alcove that has others behind it. */
const inwards = Object.entries(alcoves).flatMap(([room, order]) =>
  order.slice(0, -1).map((alcove, place) => ({
    name: `${room}-${alcove}-looks-on`,
    comment: "An alcove of a room uses those before it, never one behind it.",
    severity: "error",
    from: { path: `^server/src/${room}/${alcove}/`, pathNot: TESTS },
    to: { path: `^server/src/${room}/(${order.slice(place + 1).join("|")})/` },
  })),
);

module.exports = {
  floors,
  composition,
  forbidden: [
    ...upwards,
    ...inwards,
    {
      name: "contract-only",
      comment: "Between rooms, only contract.ts is imported. The kernel has no inside.",
      severity: "error",
      from: { path: "^server/src/([^/]+)/", pathNot: `${TESTS}|${COMPOSITION}` },
      // What composes the rooms is below-main's to refuse.
      to: {
        path: "^server/src/[^/]+/",
        pathNot: `^server/src/($1|kernel)/|^server/src/[^/]+/contract\\.ts$|${COMPOSITION}`,
      },
    },
    {
      name: "below-main",
      comment: "main.ts, the files beside it, serving/ and offline/ compose the rooms; no room imports them.",
      severity: "error",
      from: { path: "^server/src/[^/]+/", pathNot: `${TESTS}|${COMPOSITION}` },
      to: { path: `^server/src/[^/]+\\.ts$|${COMPOSITION}` },
    },
    {
      name: "main-alone-composes",
      comment: "Of the files beside main.ts, which serving/ and offline/ stand on, only main.ts knows those two.",
      severity: "error",
      from: { path: "^server/src/[^/]+\\.ts$", pathNot: `${TESTS}|^server/src/main\\.ts$` },
      to: { path: COMPOSITION },
    },
    {
      name: "serving-apart",
      comment: "The process that serves has no part in the commands that need a store to themselves.",
      severity: "error",
      from: { path: "^server/src/serving/", pathNot: TESTS },
      to: { path: "^server/src/offline/" },
    },
    {
      name: "offline-apart",
      comment: "Commands that work without a server know nothing of what it answers; of http/ they have its logger.",
      severity: "error",
      from: { path: "^server/src/offline/", pathNot: TESTS },
      to: {
        path: "^server/src/(serving|http|pages|mcp)/|[/_]routes\\.tsx?$",
        pathNot: "^server/src/http/logging\\.ts$",
      },
    },
    {
      name: "kernel-alone",
      comment: "The kernel imports nothing of ours.",
      severity: "error",
      from: { path: "^server/src/kernel/", pathNot: TESTS },
      to: { path: OURS, pathNot: "^server/src/kernel/" },
    },
    {
      name: "drivers-in-adapters",
      comment: "Files, sockets, processes, threads and drivers: only in adapters/, http/ and what composes the rooms.",
      severity: "error",
      from: { path: "^server/src/", pathNot: `${TESTS}|${DRIVER_PLACES}` },
      to: { path: DRIVERS },
    },
    {
      name: "sockets-in-adapters",
      comment:
        "As drivers-in-adapters; execution/ and egress/ may name the types of node:http and node:net, which doors speak in.",
      severity: "error",
      from: { path: "^server/src/", pathNot: `${TESTS}|${DRIVER_PLACES}|^server/src/(execution|egress)/` },
      to: { path: "^(node:)?(http|net)$" },
    },
    {
      name: "socket-types-of-doors",
      comment:
        "execution/ and egress/ outside adapters/ may import types of node:http and node:net, never their values.",
      severity: "error",
      from: { path: "^server/src/(execution|egress)/", pathNot: `${TESTS}|${DRIVER_PLACES}` },
      to: { path: "^(node:)?(http|net)$", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "server-alone",
      comment: "The server imports only its own rooms and the protocol that it speaks with its isolates.",
      severity: "error",
      from: { path: "^server/src/", pathNot: `${TESTS}|^server/src/(mcp|pages)/` },
      to: { path: OURS, pathNot: "^server/src/|^isolate/src/protocol\\.ts$|^evaluator/src/" },
    },
    {
      name: "clients-of-the-api",
      comment:
        "mcp/ and pages/ have no authority of their own: they ask the API, through @gantry/sdk, as their caller.",
      severity: "error",
      from: { path: "^server/src/(mcp|pages)/", pathNot: TESTS },
      // What stands beside and above them is the floors' to refuse.
      to: { path: OURS, pathNot: "^server/src/(kernel|mcp|pages|http)/|^sdk/src/client\\.ts$" },
    },
    {
      name: "isolate-alone",
      comment: "What runs inside workerd is ours alone; of the sdk it may name types.",
      severity: "error",
      from: { path: "^isolate/", pathNot: TESTS },
      to: { path: OURS, pathNot: "^isolate/|^sdk/src/" },
    },
    {
      name: "isolate-sdk-types",
      comment: "An isolate may name types of the sdk, never import its values.",
      severity: "error",
      from: { path: "^isolate/", pathNot: TESTS },
      to: { path: "^sdk/src/", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "cli-through-sdk",
      comment: "The command line knows the control plane only as @gantry/sdk offers it.",
      severity: "error",
      from: { path: "^cli/", pathNot: TESTS },
      to: { path: OURS, pathNot: "^cli/|^sdk/src/(client|verify/verify)\\.ts$" },
    },
    {
      name: "sdk-alone",
      comment: "The sdk is what others install: it imports nothing of ours.",
      severity: "error",
      from: { path: "^sdk/", pathNot: TESTS },
      to: { path: OURS, pathNot: "^sdk/" },
    },
    {
      name: "tests-are-leaves",
      comment: "Nothing outside the tests imports a test or a fixture; benches may stand on fixtures.",
      severity: "error",
      from: { pathNot: `${TESTS}|^bench/` },
      to: { path: TESTS },
    },
    {
      name: "benches-on-fixtures",
      comment: "A bench may use what tests stand on, never a test.",
      severity: "error",
      from: { path: "^bench/" },
      to: { path: TESTS, pathNot: "^tests/fixtures/" },
    },
    {
      name: "no-cycles",
      comment: "A cycle of imports has no lower floor.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "resolved",
      comment: "An import that this tool cannot follow is an import that it cannot judge.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true, pathNot: "^(cloudflare|gantry):|\\.txt$" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    // Guest programs are data to the tests: what they import exists only inside workerd.
    exclude: { path: "^(dist|\\.tsc)/|^tests/fixtures/guests/[^/]+\\.js$" },
    // Type-only imports count as imports: a type ties rooms together as well.
    tsPreCompilationDeps: "specify",
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "types", "node", "default"] },
  },
};
