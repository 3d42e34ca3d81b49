import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { UsageError } from "./config.ts";
import { createDialer } from "./egress/adapters/dialer.ts";
import { createResolver } from "./egress/adapters/resolver.ts";
import { createOutgoing } from "./egress/outgoing.ts";
import type { Dialer, Resolver } from "./egress/parts.ts";
import type { EgressChoice } from "./egress_choice.ts";
import type { Sender } from "./evidence/contract.ts";
import type { Clock } from "./kernel/clock.ts";
import { createOwnPlaces, type OwnPlaces } from "./own_places.ts";

/** How this process reaches others: whatever leaves it, of guests or of its own, leaves by these. */
export interface Network {
  resolver: Resolver;
  dialer: Dialer;
  own: OwnPlaces;
  nat64: readonly string[];
  /** For the rooms' own requests. @param o.public_only  for URLs that callers choose. */
  outgoing(o: { public_only: boolean }): Sender;
  close(): Promise<void>;
}

/**
 * Names servers and authorities as the config file has them; `close` ends what is open.
 * @throws UsageError  a file of `ca_files` has no certificates; the sentence names it.
 */
export function openNetwork({ resolvers, ca_files, nat64_prefixes: nat64 }: EgressChoice, clock: Clock): Network {
  for (const file of ca_files) demandCertificates(file);
  const dialer = createDialer(clock, { ca_files });
  const resolver = createResolver(clock, resolvers === undefined ? {} : { servers: resolvers });
  const own = createOwnPlaces(clock);
  const parts = { resolver, dialer, clock, nat64, isSelf: own.isSelf };
  return { resolver, dialer, own, nat64, outgoing: (o) => createOutgoing(parts, o), close: () => dialer.close() };
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The engine takes what it can make sense of and passes over the rest: calls would fail later, far from the reason. */
function demandCertificates(file: string): void {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`egress.ca_files: ${file} cannot be read: ${(error as Error).message}.`);
  }
  const found = text.match(PEM) ?? [];
  if (found.length === 0) {
    throw new UsageError(
      `egress.ca_files: ${file} has no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----.`,
    );
  }
  for (const [place, pem] of found.entries()) {
    try {
      new X509Certificate(pem);
    } catch {
      // What the parser says names no file.
      throw new UsageError(
        `egress.ca_files: certificate ${place + 1} of ${file} is damaged: it is not what PEM is made of.`,
      );
    }
  }
}
