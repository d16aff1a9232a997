// The README's curl calls, as they stand there, end with a paid order, and a part of it given back.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Everpaid } from "./everpaid.js";

test("the seven calls of the README", async () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const script = readme.match(/```sh\n(KEY=[^]*?)```/)[1];
  assert.equal(script.match(/^# \d\./gm).length, 7);
  const everpaid = new Everpaid();
  const dev = await everpaid.start();
  try {
    const here = script
      .replaceAll("http://127.0.0.1:8700", dev.api_url)
      .replaceAll("http://127.0.0.1:8701", dev.simulator_url);
    const waits = "until curl -s $API/v1/orders/$ORDER -H \"Authorization: Bearer $KEY\" | grep -q '\"status\":\"paid\"'; do :; done\n";
    const back = "until curl -s $API/v1/refunds/$REFUND -H \"Authorization: Bearer $KEY\" | grep -q '\"status\":\"succeeded\"'; do :; done\n";
    // A person takes longer from call 3 to call 4 than the notification does, and before call 7 than
    // WeChat Pay takes for a refund; a script must wait.
    const patient = here.replace("# 4.", `${waits}# 4.`).replace("# 7.", `${back}# 7.`);
    const options = { cwd: everpaid.directory, encoding: "utf8", timeout: 30_000, stdio: ["ignore", "pipe", "ignore"] };
    const printed = execFileSync("bash", ["-euo", "pipefail", "-c", patient], options);
    assert.match(printed, /"SUCCESS"\n"paid"\n/);
    assert.match(printed, /"succeeded"\n$/);
    const timeline = JSON.parse(printed.slice(printed.indexOf('"paid"') + 6, printed.lastIndexOf('"succeeded"')));
    const kinds = timeline.timeline.filter((line) => line.type === "event").map((line) => line.kind);
    assert.deepEqual(kinds, ["order_created", "payment_created", "prepay_issued", "payment_succeeded"]);
  } finally {
    await everpaid.stop();
  }
});
