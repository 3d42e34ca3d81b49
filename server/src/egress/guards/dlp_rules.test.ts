import { describe, expect, it } from "vitest";
import { DLP_RULES, KEYWORD_AFTER_BYTES, KEYWORD_BEFORE_BYTES, RULE_BYTES_MAX } from "./dlp_rules.ts";
import { DlpSearch } from "./dlp_search.ts";
import { KeywordIndex } from "./keyword_index.ts";

/** Letters and digits without a meaning; each example is put together here, so that no file holds a whole one. */
const MIXED = "q7Zp2LmX9vTb4KdR8wYc3NhJ6sFg5AeU1oViQxDyMzBrWtGkHnPjSlCfEaIu0O".repeat(6);
const az = (n: number) => MIXED.slice(0, n);
const hex = (n: number) => "9f86d081884c7d659a2feaa0c55ad015".repeat(6).slice(0, n);
const dec = (n: number) => "482915037648291503764829".slice(0, n);
const lower = (n: number) => MIXED.toLowerCase().slice(0, n);
const caps = (n: number) => "7QZP2LMXV4TBKDRWYC3NHJ6SFGAEU".repeat(3).slice(0, n);
const base32 = (n: number) => "Q7ZP2LMXVTB4KDRWYC3NHJ6SFGAEU".repeat(3).slice(0, n);
const letters = (n: number) => "qZpLmXvTbKdRwYcNhJsFgAeUoViQxDyMzBrWtGk".slice(0, n);
const uuid = `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`;
const cut = (text: string) => text.slice(0, -1);

/** What is found, and what looks much like it and is not. */
const TABLE: Record<string, [match: string, near_miss: string]> = {
  "aws-access-key": [`AKIA${base32(16)}`, `AKIA${base32(15)}1`],
  "aws-secret-key": [`aws_secret_access_key = "${az(40)}"`, `aws_secret_access_key = "${az(39)}"`],
  "aws-bedrock-key": [`ABSK${az(128)}`, `ABSK${az(90)}`],
  "google-api-key": [`AIza${az(35)}`, `AIza${az(34)}`],
  "google-oauth-secret": [`GOCSPX-${az(28)}`, `GOCSPX-${az(27)}`],
  "google-oauth-token": [`ya29.${az(60)}`, `ya29.${az(12)}`],
  "google-service-account": [`{"private_key_id": "${hex(40)}"}`, `{"private_key_id": "${hex(39)}"}`],
  "azure-storage-key": [`AccountKey=${az(86)}==`, `AccountKey=${az(85)}==`],
  "azure-client-secret": [`abc8Q~${az(34)}`, `abc8Q~${az(20)}`],
  "azure-sas": [`?sv=2024-11-04&ss=b&sig=${az(43)}%3D`, `?sv=2024-11-04&ss=b&sig=${az(20)}`],
  "azure-devops-token": [`${az(76)}AZDO${az(4)}`, `${az(70)}AZDO${az(4)}`],
  "alibaba-access-key": [`LTAI${az(20)}`, `LTAI${az(10)}`],
  "tencent-secret-id": [`AKID${az(32)}`, `AKID${az(31)}`],
  "yandex-api-key": [`AQVN${az(36)}`, `AQVN${az(30)}`],
  "digitalocean-token": [`dop_v1_${hex(64)}`, `dop_v1_${hex(63)}`],
  "cloudflare-origin-key": [`v1.0-${hex(24)}-${hex(146)}`, `v1.0-${hex(24)}-${hex(145)}`],
  "heroku-token": [`HRKU-${az(60)}`, `HRKU-${az(30)}`],
  "netlify-token": [`nfp_${az(36)}`, `nfp_${az(35)}`],
  "vercel-blob-token": [`vercel_blob_rw_${az(16)}_${az(30)}`, `vercel_blob_rw_${az(16)}`],
  "fly-token": [`fo1_${az(43)}`, `fo1_${az(42)}`],
  "terraform-token": [`${az(14)}.atlasv1.${az(67)}`, `${az(13)}.atlasv1.${az(67)}`],
  "vault-token": [`hvs.${az(95)}`, `hvs.${az(60)}`],
  "pulumi-token": [`pul-${hex(40)}`, `pul-${hex(39)}`],
  "tailscale-key": [`tskey-auth-${az(12)}-${az(32)}`, `tskey-auth-${az(12)}`],
  "okta-token": [`SSWS 00${az(40)}`, `SSWS 01${az(40)}`],
  "github-token": [`ghp_${az(36)}`, `ghp_${az(35)}`],
  "github-oauth-token": [`gho_${az(36)}`, `gho_${az(35)}`],
  "github-app-token": [`ghs_${az(36)}`, `ght_${az(36)}`],
  "github-refresh-token": [`ghr_${az(76)}`, `ghr_${az(30)}`],
  "github-fine-grained-token": [`github_pat_${az(22)}_${az(59)}`, `github_pat_${az(22)}_${az(58)}`],
  "gitlab-token": [`glpat-${az(20)}`, `glpat-${az(19)}`],
  "gitlab-deploy-token": [`gldt-${az(20)}`, `gldt-${az(19)}`],
  "gitlab-runner-token": [`glrt-${az(20)}`, `glrt-${az(19)}`],
  "gitlab-trigger-token": [`glptt-${hex(40)}`, `glptt-${hex(39)}`],
  "bitbucket-password": [`ATBB${az(32)}`, `ATBB${az(31)}`],
  "atlassian-token": [`ATATT3${az(186)}`, `ATATT3${az(100)}`],
  "npm-token": [`npm_${az(36)}`, `npm_${az(35)}`],
  "npm-config-token": [`//npm.example/:_authToken=${az(20)}`, "//npm.example/:_authToken=$NPM_TOKEN_OF_THE_CI"],
  "pypi-token": [`pypi-AgEIcHlwaS5vcmc${az(70)}`, `pypi-AgEIcHlwaS5vcmc${az(20)}`],
  "rubygems-key": [`rubygems_${hex(48)}`, `rubygems_${hex(47)}`],
  "crates-token": [`cio${az(32)}`, `cio${az(31)}`],
  "nuget-key": [`oy2${lower(43)}`, `oy2${lower(42)}`],
  "docker-token": [`dckr_pat_${az(27)}`, `dckr_pat_${az(26)}`],
  "docker-config": [`{"auths": {"r.example": {"auth": "${az(24)}"}}}`, '{"auths": {"r.example": {}}}'],
  "artifactory-key": [`AKCp${az(69)}`, `AKCp${az(68)}`],
  "sonar-token": [`sqp_${hex(40)}`, `sqp_${hex(39)}`],
  "buildkite-token": [`bkua_${hex(40)}`, `bkua_${hex(39)}`],
  "circleci-token": [`CCIPAT_${az(22)}_${hex(40)}`, `CCIPAT_${az(22)}_${hex(39)}`],
  "slack-bot-token": [`xoxb-${dec(12)}-${dec(12)}-${az(24)}`, `xoxb-${dec(12)}-${az(24)}`],
  "slack-user-token": [`xoxp-${dec(12)}-${dec(12)}-${dec(12)}-${az(32)}`, `xoxp-${dec(12)}-${az(32)}`],
  "slack-app-token": [`xapp-1-${caps(11)}-${dec(13)}-${lower(64)}`, `xapp-1-${caps(11)}-${dec(13)}`],
  "slack-webhook": [
    `https://hooks.slack.com/services/T${caps(9)}/B${caps(9)}/${az(24)}`,
    `https://hooks.slack.com/services/T${caps(9)}`,
  ],
  "discord-webhook": [
    `https://discord.com/api/webhooks/${dec(18)}/${az(68)}`,
    `https://discord.com/api/webhooks/${dec(18)}`,
  ],
  "telegram-bot-token": [`${dec(10)}:AA${az(33)}`, `${dec(10)}:AA${az(20)}`],
  "teams-webhook": [
    `https://x.webhook.office.com/webhookb2/${uuid}@${uuid}/IncomingWebhook/${hex(32)}/${uuid}`,
    `https://x.webhook.office.com/webhookb2/${uuid}`,
  ],
  "sendgrid-key": [`SG.${az(22)}.${az(43)}`, `SG.${az(22)}.${az(42)}`],
  "mailgun-key": [`key-${hex(32)}`, `key-${hex(31)}`],
  "mailchimp-key": [`${hex(32)}-us12`, `${hex(31)}-us12`],
  "brevo-key": [`xkeysib-${hex(64)}-${az(16)}`, `xkeysib-${hex(64)}`],
  "stripe-key": [`sk_live_${az(24)}`, `sk_live_${az(20)}`],
  "webhook-signing-secret": [`whsec_${az(40)}`, `whsec_${az(20)}`],
  "square-token": [`sq0atp-${az(22)}`, `sq0atp-${az(21)}`],
  "braintree-token": [
    `access_token$production$${lower(16)}$${hex(32)}`,
    `access_token$production$${lower(16)}$${hex(31)}`,
  ],
  "shopify-token": [`shpat_${hex(32)}`, `shpat_${hex(31)}`],
  "openai-key": [`sk-proj-${az(74)}T3BlbkFJ${az(74)}`, `sk-proj-${az(74)}`],
  "anthropic-key": [`sk-ant-api03-${az(93)}AA`, `sk-ant-api03-${az(40)}`],
  "huggingface-token": [`hf_${letters(34)}`, `hf_${letters(33)}`],
  "replicate-token": [`r8_${az(37)}`, `r8_${az(36)}`],
  "groq-key": [`gsk_${az(52)}`, `gsk_${az(51)}`],
  "perplexity-key": [`pplx-${az(48)}`, `pplx-${az(47)}`],
  "xai-key": [`xai-${az(80)}`, `xai-${az(79)}`],
  "databricks-token": [`dapi${hex(32)}`, `dapi${hex(31)}`],
  "planetscale-token": [`pscale_tkn_${az(43)}`, `pscale_tkn_${az(20)}`],
  "supabase-token": [`sbp_${hex(40)}`, `sbp_${hex(39)}`],
  "airtable-token": [`pat${az(14)}.${hex(64)}`, `pat${az(14)}.${hex(63)}`],
  "new-relic-key": [`NRAK-${caps(27)}`, `NRAK-${caps(26)}`],
  "grafana-token": [`glsa_${az(32)}_${hex(8)}`, `glsa_${az(32)}`],
  "grafana-cloud-token": [`glc_eyJ${az(60)}`, `glc_${az(60)}`],
  "sentry-token": [`sntrys_eyJ${az(60)}`, `sntrys_${az(60)}`],
  "datadog-key": [`DD_API_KEY=${hex(32)}`, `DD_API_KEY=${hex(31)}`],
  "linear-key": [`lin_api_${az(40)}`, `lin_api_${az(39)}`],
  "notion-token": [`ntn_${dec(11)}${az(35)}`, `ntn_${dec(10)}x${az(35)}`],
  "figma-token": [`figd_${az(40)}`, `figd_${az(39)}`],
  "doppler-token": [`dp.pt.${az(43)}`, `dp.pt.${az(42)}`],
  "postman-key": [`PMAK-${hex(24)}-${hex(34)}`, `PMAK-${hex(24)}-${hex(33)}`],
  "dropbox-token": [`sl.${az(140)}`, `sl.${az(60)}`],
  "hubspot-token": [`pat-na1-${uuid}`, `pat-na1-${cut(uuid)}`],
  "1password-token": [`ops_eyJ${az(300)}`, `ops_eyJ${az(100)}`],
  "private-key": ["-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN PUBLIC KEY-----, not a private key"],
  "putty-key": ["PuTTY-User-Key-File-3: ssh-ed25519", "PuTTY-User-Key-File-3"],
  "age-key": [
    `AGE-SECRET-KEY-1${"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L".repeat(2).slice(0, 58)}`,
    `AGE-SECRET-KEY-1${"Q".repeat(57)}`,
  ],
  "kubernetes-client-key": [`client-key-data: LS0t${az(100)}`, `client-key-data: ${az(20)}`],
  jwt: [`eyJ${az(30)}.eyJ${az(60)}.${az(43)}`, `eyJ${az(30)}.${az(60)}`],
  "connection-string": ["postgres://app:hunter22@db.example/x", "postgres://app@db.example/x"],
  "sql-server-password": [
    "Server=db;Database=x;User Id=a;Password=hunter22;",
    "Server=db;Database=x;Trusted_Connection=True;",
  ],
  netrc: ["machine a.example\n  login me\n  password hunter22", "machine a.example login me"],
};

const search = new DlpSearch();
const find = (text: string) => search.find(Buffer.from(text, "latin1"));

describe("a rule for what looks like a secret", () => {
  it("is one of at least sixty, each with an example and a near miss", () => {
    expect(DLP_RULES.map(({ id }) => id).sort()).toEqual(Object.keys(TABLE).sort());
    expect(DLP_RULES.length).toBeGreaterThanOrEqual(60);
  });

  it.each(Object.entries(TABLE))(
    "finds %s, wherever it stands, and not what is nearly one",
    (id, [match, near_miss]) => {
      const alone = new DlpSearch(DLP_RULES.filter((rule) => rule.id === id));
      const around = (text: string) => Buffer.from(`${"word ".repeat(300)}\n${text}\n${"word ".repeat(300)}`, "latin1");
      expect(alone.find(Buffer.from(match, "latin1"))).toBe(id);
      expect(alone.find(around(match))).toBe(id);
      expect(alone.find(around(`{"key":"${match.replaceAll('"', "'")}"}`.replace(/'/g, '"')))).toBe(id);
      expect(find(around(match).toString("latin1"))).toBeDefined();
      expect(alone.find(around(near_miss))).toBeUndefined();
      expect(match.length).toBeLessThanOrEqual(RULE_BYTES_MAX);
    },
  );

  it("has its keywords in lower case, one of them near the beginning of what it finds", () => {
    for (const { id, keywords } of DLP_RULES) {
      expect(keywords.join(), id).toBe(keywords.join().toLowerCase());
      const [match] = TABLE[id]!;
      const places = keywords.map((keyword) => match.toLowerCase().indexOf(keyword)).filter((at) => at >= 0);
      expect(Math.min(...places), id).toBeLessThanOrEqual(KEYWORD_BEFORE_BYTES);
      expect(match.length - Math.min(...places), id).toBeLessThanOrEqual(KEYWORD_AFTER_BYTES);
    }
  });

  it("finds nothing in ordinary texts", () => {
    for (const text of [
      "",
      "The quick brown fox. ".repeat(200),
      JSON.stringify({ pattern: "sk-", patch: "pat", ssws: 1, secret_access_key: "see the vault", key: "key-1" }),
      "https://x.example/a?sv=1&page=2 us-east-1 -us2 machine learning, server=up; http://me:you@x",
      hex(190),
      Buffer.from(MIXED).toString("base64"),
    ]) {
      expect(find(text)).toBeUndefined();
    }
  });
});

describe("keywords", () => {
  it("are all found, at their places, also inside of each other and in other case", () => {
    const words = ["she", "he", "hers", "his", "akia", "a", "kia"];
    const index = new KeywordIndex(words);
    const text = "uSHErs and AKIA, hisHe";
    const found: [string, number][] = [];
    index.find(Buffer.from(text), (keyword, at) => found.push([words[keyword]!, at]));
    const expected = words.flatMap((word) =>
      [...text.toLowerCase().matchAll(new RegExp(`(?=${word})`, "g"))].map(({ index: at }): [string, number] => [
        word,
        at,
      ]),
    );
    const order = ([a, at]: [string, number], [b, bt]: [string, number]) => at - bt || a.localeCompare(b);
    expect(found.sort(order)).toEqual(expected.sort(order));
  });

  it("that are long are found across everything that begins like them", () => {
    const index = new KeywordIndex(["aab", "aaab"]);
    const found: number[] = [];
    index.find(Buffer.from("aaaaabaab"), (_, at) => found.push(at));
    expect(found.sort()).toEqual([2, 3, 6]);
  });
});
