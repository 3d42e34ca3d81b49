import { afterAll, beforeAll, beforeEach, describe } from "vitest";
import { need } from "../fixtures/need.ts";
import { openPostgresStore, type PostgresServer, postgresMissing, startPostgres } from "../fixtures/postgres.ts";
import { storageContract } from "./storage_suite.ts";

describe("with a server", () => {
  let server: PostgresServer | undefined;
  beforeAll(async () => {
    if (postgresMissing() === undefined) server = await startPostgres();
  });
  afterAll(() => server?.remove());
  beforeEach((context) => need(context, "postgres", postgresMissing()));

  storageContract("PostgreSQL", (migrations) => openPostgresStore(server!, migrations));
});
