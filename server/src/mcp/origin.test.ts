import { expect, it } from "vitest";
import { isOwnOrigin } from "./origin.ts";

const LOCAL = "http://127.0.0.1:4280";

it("a request without Origin may come, as programs do", () => {
  expect(isOwnOrigin(undefined, LOCAL)).toBe(true);
});

it.each([LOCAL, "http://localhost:4280", "https://[::1]:4280", "https://10.0.0.7"])(
  "a page of %s itself may come",
  (own) => {
    expect(isOwnOrigin(own, own)).toBe(true);
  },
);

it.each(["http://evil.example", "http://127.0.0.1:4281", "https://127.0.0.1:4280", "null", "", "not a url", "file://"])(
  "a page of %j may not",
  (origin) => {
    expect(isOwnOrigin(origin, LOCAL)).toBe(false);
  },
);

it("a name that was made to mean this machine is no origin of ours, though Host has it as well", () => {
  expect(isOwnOrigin("http://rebound.example:4280", "http://rebound.example:4280")).toBe(false);
  expect(isOwnOrigin("http://1.2.3.4.example", "http://1.2.3.4.example")).toBe(false);
});
