// Measures the way from a payer's tap to WeChat's cashier, in calm and in storm.
// Figures go to stdout, progress to stderr. bench/run-tap starts it.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { launch } from "../../tests/browser/chromium.js";
import { shopOf } from "../../tests/browser/shop.js";
import { Simulator } from "../../tests/browser/simulator.js";
import { heading, table, verdicts } from "./figures.js";
import { watch } from "./machine.js";
import { freePort, startServer } from "./server.js";
import { startStopwatch } from "./stopwatch.js";
import { payers } from "./taps.js";

const QUICK = 40;
const WARM_UP = 3; // the first calls open connections; nobody measures that
const RUN_MS_MAX = 30 * 60000; // in one weather
const ANSWER_MS = 300;

const { quick, taps: asked, "lose-logins": losesLogins } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    taps: { type: "string", default: "200" },
    "lose-logins": { type: "boolean", default: false },
  },
}).values;
const count = quick ? QUICK : Number(asked);
if (!Number.isInteger(count) || count < 1 || count > 10000) throw new Error("--taps: from 1 to 10000 of each kind");

/** What goes wrong at WeChat Pay; a call meets the oldest fault that strikes. No fault makes a login slow or loses its answer, so the stopwatch does. */
const WEATHERS = [
  { weather: "Calm: WeChat answers as fast as the simulator can, and always", faults: [], hold_ms: 0, losesLogins: false },
  {
    weather: `Storm: WeChat answers in ${ANSWER_MS} ms, and every tenth answer of WeChat Pay${losesLogins ? " and every tenth to a login" : ""} never comes`,
    faults: [
      { kind: "no_answer", on: "answer", share: 0.1 },
      { kind: "slow", on: "answer", delay_ms: ANSWER_MS },
    ],
    hold_ms: ANSWER_MS,
    losesLogins,
  },
];

// TMPDIR says which disk is measured; in memory an fsync costs nothing and the figures mean nothing.
const directory = mkdtempSync(join(tmpdir(), "everpaid-tap-"));
process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
/** What has to be closed, the last first. */
const open = [];

try {
  const port = await freePort();
  const simulator = await Simulator.start("--browser-listen", "127.0.0.1:0", "--browser-for", `http://127.0.0.1:${port}`);
  open.push(() => simulator.stop());
  process.prependOnceListener("exit", () => simulator.process.kill("SIGKILL"));
  const stopwatch = await startStopwatch(simulator.url);
  open.push(() => stopwatch.stop());
  const { merchant } = simulator;
  const server = await startServer({ executable: process.env.EVERPAID_BIN, directory, port, wechat_url: stopwatch.url, merchant });
  open.push(() => server.stop());
  const browser = await launch();
  open.push(() => browser.close());

  console.log(heading(browser.version(), process.env.EVERPAID_BUILT));
  const shop = shopOf({ api_url: server.api_url, api_key: server.api_key, wechat_url: simulator.browserUrl });
  const { firstAndAgain, stranger } = payers(browser, shop, stopwatch);
  const round = async (losesLogin) => {
    const { arrival, taps } = await firstAndAgain(losesLogin);
    return { arrival, taps: [...taps, await stranger()] };
  };

  const runs = [];
  for (const { weather, faults, hold_ms, losesLogins } of WEATHERS) {
    console.error(`${weather}: ${count} taps of each kind`);
    for (let warm = 0; warm < WARM_UP; warm += 1) await round(false);
    for (const fault of faults) {
      const { id, error } = await simulator.control("faults", fault);
      if (!id) throw new Error(`the simulator refused a fault: ${error}`);
    }
    stopwatch.holdLogins(hold_ms);

    const seen = watch(directory);
    const end = Date.now() + RUN_MS_MAX;
    const [arrivals, taps] = [[], []];
    let rounds = 0;
    for (; rounds < count && Date.now() < end; rounds += 1) {
      const told = await round(losesLogins && rounds % 10 === 9);
      arrivals.push(told.arrival);
      taps.push(...told.taps);
      if ((rounds + 1) % 10 === 0) console.error(`  ${rounds + 1} of ${count}`);
    }
    if (rounds < count) console.error(`  time is up after ${rounds} of ${count}`);
    runs.push({ weather, arrivals, taps, seen: await seen() });
    console.log(table(runs.at(-1)));
  }
  console.log(verdicts(...runs));
} finally {
  for (const close of open.reverse()) await close();
}
