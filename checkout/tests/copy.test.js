import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { COPY, countdown, languageFor, moment, reasonFor, text, yuan } from "../copy.js";
import { STATES } from "../order.js";

const here = new URL("../", import.meta.url);
const source = (file) => readFileSync(new URL(file, here), "utf8");
const slots = (words) => (words.match(/\{\w+\}/g) || []).sort();

test("both languages say the same things, in the same order, with the same slots", () => {
  assert.deepEqual(Object.keys(COPY.zh), Object.keys(COPY.en));
  for (const key of Object.keys(COPY.zh)) {
    assert.deepEqual(slots(COPY.zh[key]), slots(COPY.en[key]), key);
    assert.ok(COPY.zh[key] && COPY.en[key], key);
  }
});

test("every state has a title", () => {
  for (const name of Object.keys(STATES)) assert.ok(COPY.zh[name + "_title"], name);
});

test("every word the view asks for exists, and none is left over", () => {
  const view = source("view.js");
  const asked = new Set([...view.matchAll(/"([a-z][a-z_]+)"/g)].map(([, key]) => key));
  const built = /^(failed_|phone_|wxwork_|wechat_|mini_program_|paid_|hint_|cashier_)|_title$/; // put together from a code, a place or a status
  for (const key of Object.keys(COPY.zh)) assert.ok(!key.startsWith("cashier_") || key.slice(8) in COPY.zh, key);
  for (const [, key] of view.matchAll(/\b(?:t|say|title|button|payButton)\("([a-z_]+)"/g)) assert.ok(key in COPY.zh, key);
  const used = (key) => asked.has(key) || built.test(key) || source("copy.js").includes('text(language, "' + key + '"');
  assert.deepEqual(Object.keys(COPY.zh).filter((key) => !used(key)), []);
});

test("whoever may have paid is asked not to pay again", () => {
  for (const key of ["hint_not_yet", "silent_text", "confirming_text", "unclear_text", "expired_text", "closing_text", "closed_text"]) {
    assert.match(COPY.zh[key], /请勿重复支付/, key);
    assert.match(COPY.en[key], /do not pay again/, key);
  }
});

test("money is written from whole fen", () => {
  const cases = [
    [0, "¥0.00"],
    [1, "¥0.01"],
    [10, "¥0.10"],
    [99, "¥0.99"],
    [100, "¥1.00"],
    [1005, "¥10.05"],
    [3990, "¥39.90"],
    [99999, "¥999.99"],
    [100000, "¥1,000.00"],
    [123456789, "¥1,234,567.89"],
    [9007199254740991, "¥90,071,992,547,409.91"],
    [-3990, "-¥39.90"],
    [0.1, "¥—"],
    ["100", "¥—"],
    [undefined, "¥—"],
    [9007199254740992, "¥—"],
  ];
  for (const [fen, written] of cases) assert.equal(yuan(fen), written);
});

test("time left", () => {
  const cases = [
    [1, "00:01"],
    [59000, "00:59"],
    [59001, "01:00"],
    [3599000, "59:59"],
    [3600000, "1:00:00"],
    [7200000, "2:00:00"],
    [86400000 + 3661000, "1 天 01:01:01"],
  ];
  for (const [ms, written] of cases) assert.equal(countdown("zh", ms), written);
});

test("a moment is told in China's time", () => {
  assert.equal(moment("zh", "2026-11-22T16:05:09Z"), "2026/11/23 00:05:09");
  assert.equal(moment("en", "2026-11-22T16:05:09Z"), "23/11/2026, 00:05:09");
});

test("Chinese first", () => {
  const cases = { "zh-CN": "zh", zh: "zh", "zh-Hant-TW": "zh", "en-US": "en", "ja-JP": "en", "": "zh" };
  for (const [preferred, language] of Object.entries(cases)) assert.equal(languageFor(preferred), language);
  assert.equal(languageFor(undefined), "zh");
});

test("words for a known refusal only", () => {
  assert.match(reasonFor("en", "amount_differs"), /amount/);
  assert.equal(reasonFor("en", "title_of_nothing"), undefined);
  assert.equal(text("zh", "failed_reason", { reason: "{reason}" }), "原因：{reason}");
  assert.throws(() => text("zh", "no_such_key"));
});

test("nothing is written in a way that iOS 12 cannot read", () => {
  for (const file of readdirSync(here).filter((name) => name.endsWith(".js"))) {
    assert.doesNotMatch(source(file), /\?\.[a-z([]|\?\?|\|\|=|&&=|\.replaceAll\(|\.at\(|static \{|#[a-z]+\(/, file);
  }
});

test("the page has no inline script or style, asks nobody else, and stays under 40 kB on the wire", () => {
  const files = readdirSync(here).filter((file) => /\.(html|css|js|svg)$/.test(file));
  for (const file of files) {
    assert.doesNotMatch(source(file).replace("<style>{{style}}</style>", ""), /<script>|<style|\sstyle=|\son\w+=|@import|url\(|data:/, file);
    assert.doesNotMatch(source(file), /["'(]https?:\/\/(?!www\.w3\.org\/)/, file);
  }
  const wire = files.reduce((sum, file) => sum + gzipSync(source(file)).length, 0);
  assert.ok(wire < 40000, String(wire));
});
