import { MCP_PATH, MCP_SCOPES } from "./contract.ts";

/** The document of RFC 9728 for this endpoint. It names no authorization server, because there is none. */
export function resourceMetadata(origin: string, about: string) {
  return {
    resource: `${origin}${MCP_PATH}`,
    resource_name: "Gantry",
    scopes_supported: MCP_SCOPES,
    bearer_methods_supported: ["header"],
    resource_documentation: `${origin}${about}`,
  };
}

/** For whoever was sent here by a client that has no token: a person, or a model. */
export function aboutText(origin: string): string {
  const url = `${origin}${MCP_PATH}`;
  return `Gantry's MCP endpoint is ${url} (Streamable HTTP).

Each request carries a Gantry token: Authorization: Bearer gtr_…
There is no OAuth login. Whoever operates this Gantry mints a token for an agent:

  gantry tokens mint --actor local ${MCP_SCOPES.map((scope) => `--scope ${scope}`).join(" ")} --life 30d

Then, for example:

  claude mcp add --transport http gantry ${url} --header "Authorization: Bearer $TOKEN"
`;
}
