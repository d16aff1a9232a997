import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { COPY, yuan } from "../shop.js";

const source = (file) => readFileSync(new URL("../" + file, import.meta.url), "utf8");
const { products } = JSON.parse(source("products.json"));

test("both languages say the same things, and the page's first words are the Chinese ones", () => {
  assert.deepEqual(Object.keys(COPY.zh), Object.keys(COPY.en));
  for (const [, key, words] of source("index.html").matchAll(/data-t="(\w+)"[^>]*>([^<]*)</g)) {
    assert.equal(words, COPY.zh[key], key);
  }
});

test("three teas, named in both languages, from ¥0.01 to ¥39.90", () => {
  assert.deepEqual(products.map(({ amount }) => yuan(amount.total)), ["¥0.01", "¥19.90", "¥39.90"]);
  for (const { id, name, note, amount } of products) {
    assert.match(id, /^[a-z]+$/);
    assert.equal(amount.currency, "CNY");
    assert.ok(name.zh && name.en && note.zh && note.en);
  }
});

test("nothing inline and nobody else asked", () => {
  for (const file of ["index.html", "mini.html", "own.html", "style.css", "shop.js", "mini.js", "own.js", "icon.svg"]) {
    assert.doesNotMatch(source(file), /<script>|<style|\sstyle=|\son\w+=|@import|url\(|data:/, file);
    assert.doesNotMatch(source(file), /["'(]https?:\/\/(?!www\.w3\.org\/)/, file);
  }
});
