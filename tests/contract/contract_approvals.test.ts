import { afterAll, beforeAll, beforeEach, describe } from "vitest";
import { engine } from "../fixtures/engine.ts";
import { need } from "../fixtures/need.ts";
import { postgresMissing, startPostgres } from "../fixtures/postgres.ts";
import { contractApprovals } from "./contract_approvals_suite.ts";

describe("contracts that people decide about, on SQLite", () => {
  contractApprovals();
});

describe("contracts that people decide about, on PostgreSQL", () => {
  beforeAll(async () => {
    if (postgresMissing() === undefined) engine.server = await startPostgres();
  });
  afterAll(async () => {
    await engine.server?.remove();
    engine.server = undefined;
  });
  beforeEach((context) => need(context, "postgres", postgresMissing()));
  contractApprovals();
});
