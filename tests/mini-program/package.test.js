// The package as it would be published, and the sample as the developer tool would open it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

import { parse } from "acorn";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

import { COPY, languageFor, yuan as pageYuan } from "../../checkout/copy.js";

const require = createRequire(import.meta.url);
const repository = fileURLToPath(new URL("../..", import.meta.url));
const folder = join(repository, "checkout/mini-program");
const dist = join(folder, "miniprogram_dist");
const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));

/** Every file below a folder, as paths from there. */
function filesOf(root, under = root) {
  return readdirSync(under, { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? filesOf(root, join(under, entry.name)) : [relative(root, join(under, entry.name))]))
    .sort();
}

test("what is packed is the package and nothing else", () => {
  const told = execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const [{ files, unpackedSize }] = Object.values(JSON.parse(told));
  assert.deepEqual(files.map(({ path }) => path).sort(), [
    "README.md",
    "README.zh.md",
    ...filesOf(dist).map((file) => `miniprogram_dist/${file}`),
    "package.json",
  ].sort());
  assert.ok(unpackedSize < 60000, String(unpackedSize));
});

test("publint finds nothing", async () => {
  const { messages } = await publint({ pkgDir: folder, level: "warning" });
  assert.deepEqual(messages.map((message) => formatMessage(message, manifest)), []);
});

test("it needs nobody else, and points where the developer tool looks", () => {
  for (const kind of ["dependencies", "peerDependencies", "optionalDependencies", "scripts"]) assert.equal(manifest[kind], undefined, kind);
  assert.equal(manifest.miniprogram, "miniprogram_dist");
  assert.deepEqual(Object.keys(require(join(folder, manifest.main))).sort(), ["check", "configure", "pay"]);
  assert.deepEqual(JSON.parse(readFileSync(join(dist, "everpaid-pay/index.json"), "utf8")), { component: true });
});

test("every file of it is what old phones understand: CommonJS of ES2017, from its own folder", () => {
  for (const file of filesOf(dist).filter((file) => file.endsWith(".js"))) {
    const source = readFileSync(join(dist, file), "utf8");
    parse(source, { ecmaVersion: 2017, sourceType: "script" });
    for (const [, wanted] of source.matchAll(/\brequire\("([^"]+)"\)/g)) {
      const found = join(dist, dirname(file), `${wanted}.js`);
      assert.ok(existsSync(found) && !relative(dist, found).startsWith(".."), `${file} wants ${wanted}`);
    }
  }
});

test("the openid, the login code and the secret are written down nowhere", () => {
  for (const file of filesOf(dist).filter((file) => file.endsWith(".js"))) {
    assert.doesNotMatch(readFileSync(join(dist, file), "utf8"), /console\.|etStorage|reportEvent|globalData/, file);
  }
});

/** What has nothing to do with where the payer is. */
const SAID_BY_THE_PAGE_TOO = ["unknown", "network", "slow", "amount_differs", "order_expired", "payment_in_progress", "too_many_payments"];

test("both languages say the same things, and why it failed in the words of the payer's page", () => {
  const { WORDS, ...words } = require(join(dist, "words.js"));
  const slots = (text) => (text.match(/\{\w+\}/g) ?? []).sort();
  assert.deepEqual(Object.keys(WORDS.zh), Object.keys(WORDS.en));
  for (const [key, chinese] of Object.entries(WORDS.zh)) {
    assert.deepEqual(slots(chinese), slots(WORDS.en[key]), key);
  }
  for (const code of SAID_BY_THE_PAGE_TOO) {
    for (const language of ["zh", "en"]) assert.equal(WORDS[language][`failed_${code}`], COPY[language][`failed_${code}`], code);
  }
  for (const key of ["confirming", "unpaid", "unknown", "closing", "closed"]) {
    assert.match(WORDS.zh[key], /请勿重复支付/, key);
    assert.match(WORDS.en[key], /do not pay again/, key);
  }
  for (const language of ["zh_CN", "zh_TW", "zh-HK", "en", "ja", "", undefined]) {
    assert.equal(words.languageFor(language), languageFor(language && language.replace("_", "-")), language);
  }
  assert.throws(() => words.text("zh", "no_such_key"));
});

test("every word that is asked for exists, and none is left over", () => {
  const { WORDS } = require(join(dist, "words.js"));
  const sources = filesOf(dist).filter((file) => file.endsWith(".js") && file !== "words.js");
  const asked = sources.map((file) => readFileSync(join(dist, file), "utf8")).join("");
  const left = Object.keys(WORDS.zh).filter((key) => !asked.includes(`"${key}"`) && !/^failed_/.test(key));
  assert.deepEqual(left, []);
});

test("money is written as the payer's page writes it", () => {
  const { yuan } = require(join(dist, "decide.js"));
  for (const fen of [0, 1, 10, 99, 100, 1005, 3990, 99999, 100000, 123456789, Number.MAX_SAFE_INTEGER, -3990, 0.1, "100", undefined, 2 ** 53]) {
    assert.equal(yuan(fen), pageYuan(fen));
  }
});

test("both languages of every page say it in the same order", () => {
  const shape = (path) => readFileSync(join(repository, path), "utf8").split("\n").map((line) => line.match(/^(#+|\||```.*|\d\.|-)/)?.[1] ?? "").filter(Boolean);
  for (const [english, chinese] of [
    ["checkout/mini-program/README.md", "checkout/mini-program/README.zh.md"],
    ["docs/mini-program.md", "docs/zh/mini-program.md"],
  ]) {
    assert.ok(shape(english).length > 20);
    assert.deepEqual(shape(chinese), shape(english), chinese);
  }
});

// --- The sample -----------------------------------------------------------------------------------

const sample = join(folder, "sample");
const built = join(sample, "miniprogram_npm", manifest.name);

test("the sample brings the package as the developer tool's 构建 npm would", () => {
  if (process.env.UPDATE_GOLDEN) {
    rmSync(built, { recursive: true, force: true });
    cpSync(dist, built, { recursive: true });
  }
  assert.deepEqual(filesOf(built), filesOf(dist), "run again with UPDATE_GOLDEN=1");
  for (const file of filesOf(dist)) {
    assert.equal(readFileSync(join(built, file), "utf8"), readFileSync(join(dist, file), "utf8"), `${file}: run again with UPDATE_GOLDEN=1`);
  }
});

test("everything the sample names is there", () => {
  const read = (file) => JSON.parse(readFileSync(join(sample, file), "utf8"));
  const { appid, compileType, setting } = read("project.config.json");
  assert.deepEqual([appid, compileType, setting.urlCheck], ["touristappid", "miniprogram", false]);
  const app = read("app.json");
  for (const page of app.pages) {
    for (const kind of ["js", "json", "wxml"]) assert.ok(existsSync(join(sample, `${page}.${kind}`)), `${page}.${kind}`);
    for (const used of Object.values(read(`${page}.json`).usingComponents)) {
      assert.ok(existsSync(join(sample, "miniprogram_npm", `${used}.json`)), used);
    }
  }
  assert.ok(existsSync(join(sample, app.sitemapLocation)));
});

test("WeChat's own compiler takes every page of it", { skip: process.arch !== "x64" && "the compiler is for x86-64" }, () => {
  const { wxmlToJs } = require("miniprogram-compiler");
  const compiled = wxmlToJs(sample);
  for (const page of ["pages/tea/index.wxml", `miniprogram_npm/${manifest.name}/everpaid-pay/index.wxml`]) assert.ok(compiled.includes(page), page);
});
