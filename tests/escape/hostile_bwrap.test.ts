import { bwrapJail } from "../../server/src/execution/adapters/jails.ts";
import { hostileGuests } from "./hostile_suite.ts";

hostileGuests(bwrapJail);
