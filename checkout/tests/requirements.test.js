import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const root = new URL("../../", import.meta.url);
const source = (file) => readFileSync(new URL(file, root), "utf8");

/** Where a test's number may stand: in Rust its name and the comment above it, else anything but comments. */
function titles(file) {
  if (!file.endsWith(".rs")) return source(file).replace(/^\s*(\/\/|\*|\/\*).*$/gm, "");
  const tests = source(file).matchAll(/(?:^\/\/\/.*\n)*#\[tokio::test.*\n(?:async )?fn \w+/gm);
  return [...tests].map(([title]) => title).join("\n");
}

/** The criteria that were asked for, by how many each requirement has. */
const ASKED = [4, 8, 5, 5, 4, 5, 4].flatMap((count, at) => Array.from({ length: count }, (_, n) => `R${at + 1}.${n + 1}`));
const ALL = [...ASKED, "AC1", "AC2", "AC3", "AC4", "AC5", "UX1", "UX2"];

test("every criterion has a test that carries its number", () => {
  const rows = source("docs/requirements.md").matchAll(/^\| (\S+) \|.*\| (`[^|]+`) \|$/gm);
  const files = new Map([...rows].map(([, criterion, cell]) => [criterion, cell.match(/[^`, ]+/g)]));
  assert.deepEqual([...files.keys()], ALL);
  for (const [criterion, named] of files) {
    for (const file of named) assert.match(titles(file), new RegExp(criterion.replace(".", "[._]") + "(?![0-9])", "i"), criterion + " in " + file);
  }
});
