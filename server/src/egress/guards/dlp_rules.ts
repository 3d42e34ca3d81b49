/** One shape of a secret. */
export interface DlpRule {
  /** Said in refusals; what matched never is. */
  id: string;
  /** In lower case. A text with none of these is not looked at; one of them lies within the first `KEYWORD_BEFORE_BYTES`. */
  keywords: readonly string[];
  /** In the syntax of RE2; what it matches is at most `RULE_BYTES_MAX` long. */
  pattern: string;
}

/** How far before a keyword, and behind its start, a match may reach. */
export const KEYWORD_BEFORE_BYTES = 128;
export const KEYWORD_AFTER_BYTES = 512;
/** Texts that are looked at piece by piece overlap by so much. */
export const RULE_BYTES_MAX = KEYWORD_BEFORE_BYTES + KEYWORD_AFTER_BYTES;

const UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const IS = `["']?[ \\t]{0,4}(?:=>|:=|[:=])[ \\t]{0,4}["']?`;

const rule = (id: string, keywords: string, pattern: string): DlpRule => ({
  id,
  keywords: keywords.split(" "),
  pattern,
});

/**
 * Shapes that the issuers of secrets made public: fixed beginnings, lengths and alphabets. Nothing here guesses by names
 * and chance alone, which would be wrong too often to refuse anything by it.
 */
export const DLP_RULES: readonly DlpRule[] = [
  // Clouds.
  rule("aws-access-key", "akia asia abia acca", "\\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\\b"),
  rule(
    "aws-secret-key",
    "secret_access_key secretaccesskey",
    `(?i:secret_?access_?key)${IS}[A-Za-z0-9/+]{40}(?:[^A-Za-z0-9/+=]|$)`,
  ),
  rule("aws-bedrock-key", "absk", "\\bABSK[A-Za-z0-9+/]{100,180}={0,2}"),
  rule("google-api-key", "aiza", "\\bAIza[0-9A-Za-z_-]{35}"),
  rule("google-oauth-secret", "gocspx-", "\\bGOCSPX-[A-Za-z0-9_-]{28}"),
  rule("google-oauth-token", "ya29.", "\\bya29\\.[0-9A-Za-z_-]{20,200}"),
  rule("google-service-account", '"private_key_id"', '"private_key_id"\\s{0,4}:\\s{0,4}"[0-9a-f]{40}"'),
  rule("azure-storage-key", "accountkey=", "AccountKey=[A-Za-z0-9+/]{86}=="),
  rule("azure-client-secret", "q~", "\\b[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}"),
  rule("azure-sas", "sv=20", "\\bsv=20\\d\\d-\\d\\d-\\d\\d&[^\\s\"'<>]{0,240}\\bsig=[A-Za-z0-9%+/]{40,80}"),
  rule("azure-devops-token", "azdo", "\\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\\b"),
  rule("alibaba-access-key", "ltai", "\\bLTAI[A-Za-z0-9]{17,21}\\b"),
  rule("tencent-secret-id", "akid", "\\bAKID[A-Za-z0-9]{32}\\b"),
  rule("yandex-api-key", "aqvn", "\\bAQVN[A-Za-z0-9_-]{35,38}"),
  rule("digitalocean-token", "doo_v1_ dop_v1_ dor_v1_", "\\bdo[opr]_v1_[0-9a-f]{64}\\b"),
  rule("cloudflare-origin-key", "v1.0-", "\\bv1\\.0-[0-9a-f]{24}-[0-9a-f]{146}\\b"),
  rule("heroku-token", "hrku-", "\\bHRKU-[A-Za-z0-9_-]{36,64}"),
  rule("netlify-token", "nfp_", "\\bnfp_[A-Za-z0-9]{36}\\b"),
  rule("vercel-blob-token", "vercel_blob_rw_", "\\bvercel_blob_rw_[A-Za-z0-9]{10,40}_[A-Za-z0-9]{20,60}"),
  rule("fly-token", "fo1_", "\\bfo1_[A-Za-z0-9_-]{43}"),
  rule("terraform-token", ".atlasv1.", "\\b[A-Za-z0-9]{14}\\.atlasv1\\.[A-Za-z0-9_=-]{60,70}"),
  rule("vault-token", "hvs. hvb.", "\\bhv[sb]\\.[A-Za-z0-9_-]{90,200}"),
  rule("pulumi-token", "pul-", "\\bpul-[0-9a-f]{40}\\b"),
  rule("tailscale-key", "tskey-", "\\btskey-(?:auth|api|client|webhook)-[A-Za-z0-9]{8,24}-[A-Za-z0-9]{20,40}"),
  rule("okta-token", "ssws", "\\bSSWS 00[A-Za-z0-9_-]{40}"),
  // Forges, registries, builds.
  rule("github-token", "ghp_", "\\bghp_[0-9A-Za-z]{36}"),
  rule("github-oauth-token", "gho_", "\\bgho_[0-9A-Za-z]{36}"),
  rule("github-app-token", "ghu_ ghs_", "\\bgh[us]_[0-9A-Za-z]{36}"),
  rule("github-refresh-token", "ghr_", "\\bghr_[0-9A-Za-z]{36,76}"),
  rule("github-fine-grained-token", "github_pat_", "\\bgithub_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59}"),
  rule("gitlab-token", "glpat-", "\\bglpat-[0-9A-Za-z_-]{20}"),
  rule("gitlab-deploy-token", "gldt-", "\\bgldt-[0-9A-Za-z_-]{20}"),
  rule("gitlab-runner-token", "glrt-", "\\bglrt-[0-9A-Za-z_-]{20}"),
  rule("gitlab-trigger-token", "glptt-", "\\bglptt-[0-9a-f]{40}\\b"),
  rule("bitbucket-password", "atbb", "\\bATBB[A-Za-z0-9]{32}\\b"),
  rule("atlassian-token", "atatt3", "\\bATATT3[A-Za-z0-9_=-]{180,200}"),
  rule("npm-token", "npm_", "\\bnpm_[A-Za-z0-9]{36}\\b"),
  rule("npm-config-token", ":_authtoken", ":_authToken[ \\t]{0,4}=[ \\t]{0,4}[^\\s$]{16,128}"),
  rule("pypi-token", "pypi-ageichlwas5vcmc", "\\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,200}"),
  rule("rubygems-key", "rubygems_", "\\brubygems_[0-9a-f]{48}\\b"),
  rule("crates-token", "cio", "\\bcio[A-Za-z0-9]{32}\\b"),
  rule("nuget-key", "oy2", "\\boy2[a-z0-9]{43}\\b"),
  rule("docker-token", "dckr_pat_", "\\bdckr_pat_[A-Za-z0-9_-]{27}"),
  rule(
    "docker-config",
    '"auths"',
    '"auths"\\s{0,8}:\\s{0,8}\\{[^{}]{0,128}\\{[^{}]{0,64}"auth"\\s{0,8}:\\s{0,8}"[A-Za-z0-9+/=]{16,128}"',
  ),
  rule("artifactory-key", "akcp", "\\bAKCp[A-Za-z0-9]{69}\\b"),
  rule("sonar-token", "squ_ sqp_ sqa_", "\\bsq[upa]_[0-9a-f]{40}\\b"),
  rule("buildkite-token", "bkua_", "\\bbkua_[0-9a-f]{40}\\b"),
  rule("circleci-token", "ccipat_", "\\bCCIPAT_[A-Za-z0-9]{22}_[0-9a-f]{40}\\b"),
  // Chat and mail.
  rule("slack-bot-token", "xoxb-", "\\bxoxb-[0-9]{10,13}-[0-9]{10,13}-[A-Za-z0-9]{24,34}"),
  rule("slack-user-token", "xoxp- xoxe-", "\\bxox[pe](?:-[0-9]{10,13}){3}-[A-Za-z0-9]{28,34}"),
  rule("slack-app-token", "xapp-", "\\bxapp-[0-9]-[A-Z0-9]{9,12}-[0-9]{10,14}-[a-z0-9]{60,70}"),
  rule(
    "slack-webhook",
    "hooks.slack.com",
    "hooks\\.slack\\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24}",
  ),
  rule("discord-webhook", "/api/webhooks/", "discord(?:app)?\\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,72}"),
  rule("telegram-bot-token", ":aa", "\\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
  rule(
    "teams-webhook",
    ".webhook.office.com",
    `\\.webhook\\.office\\.com/webhookb2/${UUID}@${UUID}/IncomingWebhook/[0-9a-f]{32}/${UUID}`,
  ),
  rule("sendgrid-key", "sg.", "\\bSG\\.[A-Za-z0-9_-]{22}\\.[A-Za-z0-9_-]{43}"),
  rule("mailgun-key", "key-", "\\bkey-[0-9a-f]{32}\\b"),
  rule("mailchimp-key", "-us", "\\b[0-9a-f]{32}-us[0-9]{1,2}\\b"),
  rule("brevo-key", "xkeysib-", "\\bxkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}"),
  // Payment and shops.
  rule("stripe-key", "sk_live_ rk_live_ sk_test_ rk_test_", "\\b[sr]k_(?:live|test)_[0-9A-Za-z]{24,128}"),
  rule("webhook-signing-secret", "whsec_", "\\bwhsec_[A-Za-z0-9+/]{32,64}={0,2}"),
  rule("square-token", "sq0atp- sq0csp-", "\\bsq0(?:atp-[0-9A-Za-z_-]{22}|csp-[0-9A-Za-z_-]{43})"),
  rule("braintree-token", "access_token$production$", "access_token\\$production\\$[0-9a-z]{16}\\$[0-9a-f]{32}"),
  rule("shopify-token", "shpat_ shpca_ shppa_ shpss_", "\\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\\b"),
  // Models.
  rule("openai-key", "t3blbkfj", "\\bsk-(?:[a-z]{4,8}-)?[A-Za-z0-9_-]{20,80}T3BlbkFJ[A-Za-z0-9_-]{20,80}"),
  rule("anthropic-key", "sk-ant-", "\\bsk-ant-[a-z]{3,5}[0-9]{2}-[A-Za-z0-9_-]{80,110}"),
  rule("huggingface-token", "hf_", "\\bhf_[A-Za-z]{34}\\b"),
  rule("replicate-token", "r8_", "\\br8_[A-Za-z0-9]{37}\\b"),
  rule("groq-key", "gsk_", "\\bgsk_[A-Za-z0-9]{52}\\b"),
  rule("perplexity-key", "pplx-", "\\bpplx-[A-Za-z0-9]{48}\\b"),
  rule("xai-key", "xai-", "\\bxai-[A-Za-z0-9]{80}\\b"),
  // Data, watching, work.
  rule("databricks-token", "dapi", "\\bdapi[0-9a-f]{32}(?:-[0-9])?\\b"),
  rule("planetscale-token", "pscale_", "\\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,64}"),
  rule("supabase-token", "sbp_", "\\bsbp_[0-9a-f]{40}\\b"),
  rule("airtable-token", "pat", "\\bpat[A-Za-z0-9]{14}\\.[0-9a-f]{64}\\b"),
  rule("new-relic-key", "nrak-", "\\bNRAK-[A-Z0-9]{27}\\b"),
  rule("grafana-token", "glsa_", "\\bglsa_[A-Za-z0-9]{32}_[0-9a-f]{8}\\b"),
  rule("grafana-cloud-token", "glc_", "\\bglc_eyJ[A-Za-z0-9+/]{32,400}={0,2}"),
  rule("sentry-token", "sntrys_ sntryu_", "\\b(?:sntrys_eyJ[A-Za-z0-9+/=_-]{40,400}|sntryu_[0-9a-f]{64})"),
  rule(
    "datadog-key",
    "dd_api_key dd_app_key datadog",
    `(?i:dd|datadog)[_-](?i:api|app)[_-](?i:key)${IS}[0-9a-f]{32,40}\\b`,
  ),
  rule("linear-key", "lin_api_", "\\blin_api_[A-Za-z0-9]{40}\\b"),
  rule("notion-token", "ntn_", "\\bntn_[0-9]{11}[A-Za-z0-9]{35}\\b"),
  rule("figma-token", "figd_", "\\bfigd_[A-Za-z0-9_-]{40}"),
  rule("doppler-token", "dp.pt.", "\\bdp\\.pt\\.[A-Za-z0-9]{43}\\b"),
  rule("postman-key", "pmak-", "\\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}\\b"),
  rule("dropbox-token", "sl.", "\\bsl\\.(?:u\\.)?[A-Za-z0-9_-]{130,200}"),
  rule("hubspot-token", "pat-na1- pat-eu1-", `\\bpat-(?:na|eu)1-${UUID}\\b`),
  rule("1password-token", "ops_eyj", "\\bops_eyJ[A-Za-z0-9+/_-]{200,400}"),
  // Keys and what opens databases.
  rule("private-key", "private key", "-----BEGIN (?:[A-Z0-9]{2,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
  rule("putty-key", "putty-user-key-file-", "\\bPuTTY-User-Key-File-[23]: [a-z0-9-]{3,40}"),
  rule("age-key", "age-secret-key-1", "\\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}\\b"),
  rule("kubernetes-client-key", "client-key-data", "\\bclient-key-data:[ \\t]{1,4}LS0t[A-Za-z0-9+/=]{64,256}"),
  rule("jwt", "eyj", "\\beyJ[A-Za-z0-9_-]{8,160}\\.eyJ[A-Za-z0-9_-]{8,240}\\.?"),
  rule(
    "connection-string",
    "postgres:// postgresql:// mysql:// mariadb:// mongodb:// mongodb+srv:// redis:// rediss:// amqp:// amqps:// mssql:// sqlserver:// clickhouse://",
    "\\b(?:postgres(?:ql)?|m(?:ysql|ariadb|ssql)|mongodb(?:\\+srv)?|rediss?|amqps?|sqlserver|clickhouse)://[^\\s:@/\"'<>]{0,64}:[^\\s@/\"'<>$]{3,128}@[A-Za-z0-9\\[]",
  ),
  rule(
    "sql-server-password",
    "server= source=",
    "(?i:\\b(?:server|data source)=[^;\"'\\n]{1,100};[^\"'\\n]{0,200}\\b(?:password|pwd)=[^;\"'\\s]{3,64})",
  ),
  rule(
    "netrc",
    "machine",
    "\\bmachine\\s{1,4}\\S{1,100}\\s{1,8}login\\s{1,4}\\S{1,100}\\s{1,8}password\\s{1,4}\\S{3,100}",
  ),
];
