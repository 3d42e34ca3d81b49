import type { House } from "./house.ts";
import type { Stage } from "./stage.ts";

/** How a person decides: in a browser, or in a terminal. */
export async function sayWays(stage: Stage, { url, data }: House, link: string, approval: string): Promise<void> {
  const { paint } = stage;
  stage.say();
  stage.say("In a browser, where the inbox is:");
  stage.wide(paint("cyan", `${url}/login?link=${link}`));
  stage.say("Or in another terminal:");
  stage.wide(paint("cyan", `npx gantry login ${link} --data ${data}`));
  stage.wide(paint("cyan", `npx gantry approve ${approval} --data ${data}`));
  const page = await fetch(`${url}/login?link=${link}`, { signal: stage.signal });
  const type = page.headers.get("content-type") ?? "";
  await page.text();
  stage.claim(
    "the inbox answers there, and to look at it spends nothing",
    page.status === 200 && type.startsWith("text/html"),
    `status ${page.status}, ${type}`,
    `${url}/login`,
  );
}
