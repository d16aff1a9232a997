// Clients that others published do a shop's day against the simulator, unchanged.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Simulator } from "./simulator.js";

const here = fileURLToPath(new URL(".", import.meta.url));
const python = join(here, "../../target/clients/venv/bin/python");
const done = "created, queried, paid, closed, refunded and billed\n";

async function run(simulator, program, script, more) {
  const options = { env: simulator.environment(more), timeout: 60_000 };
  return (await promisify(execFile)(program, [join(here, script)], options)).stdout;
}

for (const [mode, more] of [["public-key", {}], ["certificate", { WITH_CERTIFICATES: "1" }]]) {
  test(`Python's wechatpayv3, ${mode}`, async () => {
    const simulator = await Simulator.start("--mode", mode);
    try {
      const proxied = { HTTPS_PROXY: simulator.proxy, REQUESTS_CA_BUNDLE: simulator.authority };
      assert.equal(await run(simulator, python, "python/pay.py", { ...more, ...proxied }), done);
    } finally {
      await simulator.stop();
    }
  });

  test(`Node's wechatpay-axios-plugin, ${mode}`, async () => {
    const simulator = await Simulator.start("--mode", mode);
    try {
      assert.equal(await run(simulator, process.execPath, "node/pay.js", more), done);
    } finally {
      await simulator.stop();
    }
  });
}
