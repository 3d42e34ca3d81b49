import { expect, it } from "vitest";
import { hasSoundLabels } from "./hosts.ts";

it.each(["example.com", "xn--bcher-kva.example", "a.xn--zca", "[2001:db8::1]", "127.0.0.1", "axn--a.example"])(
  "%s is sound",
  (host) => expect(hasSoundLabels(host)).toBe(true),
);

it.each(["xn--a", "xn--", "xn--.example", "a.xn--a.example", "xn--99999999999", "xn--a-", "xn--0.example"])(
  "%s claims to encode what it does not",
  (host) => expect(hasSoundLabels(host)).toBe(false),
);
