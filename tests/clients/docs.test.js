// The snippets of docs/simulator.md for curl, Python and Node, run as they stand there.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Simulator } from "./simulator.js";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const page = readFileSync(join(repository, "docs/simulator.md"), "utf8");

/** Every fenced block, with its language. */
const blocks = (text) => [...text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].map(([, language, code]) => ({ language, code }));

/** The first block of a language under a heading. */
function snippet(heading, language) {
  const section = page.split(/^## /m).find((section) => section.startsWith(`${heading}\n`));
  return blocks(section).find((block) => block.language === language).code;
}

let simulator;
before(async () => {
  simulator = await Simulator.start("--write-credentials", "credentials");
  symlinkSync(join(repository, "tests/clients/node/node_modules"), join(simulator.directory, "node_modules"));
});
after(() => simulator.stop());

/** Runs it where the simulator was started, with the addresses of this run. */
async function run(code, file, program, more) {
  const here = code.replaceAll("http://127.0.0.1:8701", simulator.url);
  writeFileSync(join(simulator.directory, file), here);
  const options = { cwd: simulator.directory, env: simulator.environment(more), timeout: 60_000 };
  return promisify(execFile)(program, [file], options);
}

test("curl", async () => {
  const numbers = blocks(page).find((block) => block.code.startsWith("export ")).code;
  const { stdout, stderr } = await run(`set -euo pipefail\n${numbers}${snippet("curl", "sh")}`, "pay.sh", "bash");
  assert.match(stdout, /^\{"code_url":"weixin:\/\/.*\nSUCCESS\nSUCCESS\n$/);
  assert.equal(stderr, "Verified OK\nVerified OK\n");
});

test("Python", async () => {
  const python = join(repository, "target/clients/venv/bin/python");
  const proxied = { HTTPS_PROXY: simulator.proxy, REQUESTS_CA_BUNDLE: simulator.authority };
  const { stdout } = await run(snippet("Python", "python"), "pay.py", python, proxied);
  assert.match(stdout, /^200 \{"code_url":"weixin:\/\/.*\n200 SUCCESS\n$/);
});

test("Node", async () => {
  const { stdout } = await run(snippet("Node", "js"), "pay.mjs", process.execPath);
  assert.match(stdout, /^200 weixin:\/\/.*\n200 SUCCESS\n$/);
});

test("both languages of the page have the same snippets", () => {
  const chinese = readFileSync(join(repository, "docs/zh/simulator.md"), "utf8");
  assert.deepEqual(blocks(chinese), blocks(page));
});
