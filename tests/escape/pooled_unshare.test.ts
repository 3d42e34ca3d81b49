import { unshareJail } from "../../server/src/execution/adapters/jails.ts";
import { pooledSuite } from "./pooled_suite.ts";

pooledSuite(unshareJail);
