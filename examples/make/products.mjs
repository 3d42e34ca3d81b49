// Writes schema-validation/products.json: a JSON Schema and 400 documents, some of which break it.
import { writeFileSync } from "node:fs";
import { dice, padded } from "./dice.mjs";

const { between, pick } = dice(4_711);
const schema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Product",
  type: "object",
  required: ["sku", "name", "price", "stock", "tags", "origin"],
  additionalProperties: false,
  properties: {
    sku: { type: "string", pattern: "^[A-Z]{3}-[0-9]{4}$" },
    name: { type: "string", minLength: 3, maxLength: 40 },
    price: { $ref: "#/$defs/money" },
    stock: { type: "integer", minimum: 0, maximum: 10000 },
    tags: { type: "array", items: { type: "string", minLength: 1 }, minItems: 1, maxItems: 4, uniqueItems: true },
    origin: { enum: ["DE", "FR", "PT", "SE", null] },
    size_cm: {
      type: "array",
      prefixItems: [
        { type: "number", exclusiveMinimum: 0 },
        { type: "number", exclusiveMinimum: 0 },
      ],
      items: { type: "number", exclusiveMinimum: 0 },
      minItems: 2,
      maxItems: 3,
    },
    kind: { enum: ["goods", "digital"] },
    download: { type: "string", pattern: "^https://" },
    contact: { anyOf: [{ $ref: "#/$defs/mail" }, { $ref: "#/$defs/phone" }] },
    variants: { type: "array", items: { $ref: "#/$defs/variant" } },
  },
  if: { properties: { kind: { const: "digital" } }, required: ["kind"] },
  // biome-ignore lint/suspicious/noThenProperty: JSON Schema names its branch so.
  then: { required: ["download"], properties: { size_cm: false } },
  else: { properties: { download: false } },
  dependentRequired: { variants: ["size_cm"] },
  $defs: {
    money: {
      type: "object",
      required: ["amount", "currency"],
      additionalProperties: false,
      properties: {
        amount: { type: "number", minimum: 0, multipleOf: 0.5 },
        currency: { enum: ["EUR", "SEK"] },
      },
    },
    mail: { type: "object", required: ["mail"], properties: { mail: { type: "string", pattern: "^[^@ ]+@[^@ ]+$" } } },
    phone: {
      type: "object",
      required: ["phone"],
      properties: { phone: { type: "string", pattern: "^\\+[0-9]{6,15}$" } },
    },
    variant: {
      type: "object",
      required: ["colour"],
      properties: {
        colour: { type: "string" },
        price: { $ref: "#/$defs/money" },
        variants: { type: "array", items: { $ref: "#/$defs/variant" } },
      },
      not: { required: ["sku"] },
    },
  },
};

const nouns = ["lamp", "chair", "desk", "shelf", "kettle", "blanket", "mirror", "clock"];
const manners = ["Oak", "Steel", "Linen", "Folding", "Little", "Tall", "Garden", "Grön"];
const colours = ["red", "blue", "sand", "moss"];
const money = () => ({ amount: between(2, 900) / 2, currency: pick(["EUR", "SEK"]) });

function product(n) {
  const made = {
    sku: `${pick(["LMP", "CHR", "DSK"])}-${padded(n, 4)}`,
    name: `${pick(manners)} ${pick(nouns)}`,
    price: money(),
    stock: between(0, 500),
    tags: ["home", "new", "sale", "gift"].slice(0, between(1, 4)),
    origin: pick(["DE", "FR", "PT", "SE", null]),
  };
  if (n % 7 === 0) return { ...made, kind: "digital", download: `https://files.example/${n}.zip` };
  made.size_cm = [between(10, 200), between(10, 200), between(10, 200)].slice(0, between(2, 3));
  if (n % 3 === 0) made.contact = pick([{ mail: "desk@shop.example" }, { phone: "+49301234567" }]);
  if (n % 5 === 0) made.variants = [{ colour: pick(colours), variants: [{ colour: pick(colours), price: money() }] }];
  return made;
}

/** Each breaks one document in one known place. */
const faults = [
  (p) => delete p.sku,
  (p) => {
    p.sku = p.sku.toLowerCase();
  },
  (p) => {
    p.price.amount = "19.90";
  },
  (p) => {
    p.price.amount = 19.3;
  },
  (p) => {
    p.price.vat = 19;
  },
  (p) => {
    p.stock = -1;
  },
  (p) => {
    p.stock = 2.5;
  },
  (p) => {
    p.tags = ["home", "home"];
  },
  (p) => {
    p.tags = [];
  },
  (p) => {
    p.origin = "UK";
  },
  (p) => {
    p.kind = "digital";
  },
  (p) => {
    p.contact = { mail: "nobody" };
  },
  (p) => {
    p.size_cm = [12, 0];
  },
  (p) => {
    p.variants = [{ colour: "red", sku: "X" }];
  },
  (p) => {
    p.variants = [{ colour: "red", variants: [{ price: { amount: 1, currency: "USD" } }] }];
  },
  (p) => {
    p["a/b~c"] = true;
  },
  (p) => {
    p.name = "🪑🪑";
  },
];
const documents = Array.from({ length: 400 }, (_, n) => product(n));
for (const [n, fault] of faults.entries()) fault(documents[11 + n * 23]);
documents[399] = "not an object";

const text = JSON.stringify({ schema, documents }, null, 1);
writeFileSync(new URL("../schema-validation/products.json", import.meta.url), `${text}\n`);
