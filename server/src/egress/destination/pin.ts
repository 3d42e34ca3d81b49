import { GantryError } from "../../kernel/errors.ts";
import { egress_errors } from "../contract.ts";
import type { Call } from "../parts.ts";
import { isLocalhost, isMetadataName, type JudgedAddress, judgeAddress } from "./address.ts";
import { grantsAddress, metadata, privateAddress } from "./rules.ts";

/** What else is known when addresses are judged. */
export interface PinOptions {
  /** NAT64 prefixes of this network, besides the well-known one. */
  nat64: readonly string[];
  /** Is it one of this host's own addresses, on a port that Gantry listens on? */
  isSelf(address: string, port: number): boolean;
  /** Had the name nothing but public addresses before, in this run? */
  was_public: boolean;
}

/** To connect to either is to connect to this machine (RFC 1122, 3.2.1.3; measured on Linux 6). */
const UNSPECIFIED: Partial<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/**
 * The address that is dialled: the first of the answer, in which every address has been judged. One that is bad refuses the
 * call, whatever the others are.
 * @param addresses  of the call's host, in the order in which they are to be tried.
 * @returns `is_public`: every address is a public one.
 * @throws EGRESS_SELF EGRESS_METADATA EGRESS_DNS_REBIND EGRESS_PRIVATE_ADDR EGRESS_UPSTREAM
 */
export function pinAddress(
  call: Call,
  addresses: readonly string[],
  o: PinOptions,
): { address: string; is_public: boolean } {
  const { host, port } = call.target;
  const judged = addresses.map((text) => {
    const each = judgeAddress(text, o.nat64);
    if (each === undefined)
      throw unreachable(`The resolver gave ${JSON.stringify(text.slice(0, 64))} for ${host}, which is no address.`);
    return each;
  });
  const [first] = judged;
  if (first === undefined) throw unreachable(`${host} has no address.`);
  if (judged.some((each) => meansSelf(each, port, o))) {
    throw new GantryError(egress_errors.SELF, {
      detail: `${host} is Gantry itself, on a port that it listens on. No contract can grant it.`,
    });
  }
  if (isMetadataName(host) || judged.some(({ kind }) => kind === "metadata")) throw metadata(host);
  const hidden = judged.filter(({ kind }) => kind !== "public");
  if (hidden.length > 0 && o.was_public) {
    throw new GantryError(egress_errors.DNS_REBIND, {
      detail: `${host} had public addresses before in this run and has others now. A name that moves inwards is not followed.`,
    });
  }
  const granted = judged.filter(({ kind, address }) => kind === "public" || grantsAddress(call.rule, address));
  // Nobody answered for `localhost`, so that nobody can have slipped in the other one.
  const [chosen] = isLocalhost(host) ? granted : judged;
  if (chosen === undefined || (granted.length < judged.length && !isLocalhost(host))) {
    throw privateAddress(
      call,
      hidden.map(({ address }) => address),
      call.rule_id,
    );
  }
  return { address: chosen.address, is_public: hidden.length === 0 };
}

/** Whatever the address is wrapped into. */
function meansSelf({ faces }: JudgedAddress, port: number, { isSelf }: PinOptions): boolean {
  return faces.some((face) => isSelf(face, port) || isSelf(UNSPECIFIED[face] ?? face, port));
}

function unreachable(detail: string): GantryError {
  return new GantryError(egress_errors.UPSTREAM, { detail });
}
