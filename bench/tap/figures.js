// The figures, as tables that can be pasted.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";

/** @typedef {import("./taps.js").Tap} Tap */
/** @typedef {{weather: string, arrivals: import("./taps.js").Arrival[], taps: Tap[], seen: Awaited<ReturnType<ReturnType<typeof import("./machine.js").watch>>>}} Run */

const KINDS = [
  ["first", "first"],
  ["again", "again, after a cancel"],
  ["stranger", "of a stranger, with login"],
];
const STORM_P95_MS = 3000;
const CALM_P95_OVERHEAD_MS = 100;
/** With fewer losses the p95 is one of taps that lost nothing. */
const LOST_SHARE_MIN = 0.05;

/** The smallest value that so great a part of all is not above. */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

const overhead = (tap) => tap.total_ms - tap.wechat_ms;
const ms = (value) => (value === undefined ? "—" : value === Infinity ? "never" : value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en"));
const span = (value) => (value === Infinity ? "never" : `${ms(value)} ms`);
const four = (values) => [0.5, 0.95, 0.99, 1].map((share) => ms(quantile(values, share))).join(" / ");

/** On what, of what, and when. @param {string} browser its version @param {string} built */
export function heading(browser, built) {
  const run = (...command) => execFileSync(command[0], command.slice(1), { encoding: "utf8" }).trim();
  const model = readFileSync("/proc/cpuinfo", "utf8").match(/^model name\s*:\s*(.*)$/m)?.[1] ?? "unknown";
  const commit = run("git", "rev-parse", "--short", "HEAD") + (run("git", "status", "--porcelain") ? " with changes" : "");
  const load = loadavg()[0].toFixed(2);
  return `# everpaid, from the tap to the cashier

${new Date().toISOString()}, commit ${commit}, ${built}, ${availableParallelism()} × ${model}, Chromium ${browser}, load before ${load}`;
}

/** @param {Run} run */
export function table({ weather, arrivals, taps, seen }) {
  const rows = KINDS.map(([kind, words]) => {
    const these = taps.filter((tap) => tap.kind === kind);
    const stalled = these.length - unstalled({ taps: these, seen }).length;
    const all = these.map((tap) => tap.total_ms);
    return `| ${words} | ${these.length} | ${four(all)} | ${four(these.map((tap) => tap.wechat_ms))} | ${four(these.map(overhead))} | ${four(these.map((tap) => tap.everpaid_ms))} | ${these.filter((tap) => tap.lost).length} | ${stalled} |`;
  });
  const lost = taps.filter((tap) => tap.lost);
  const answers = ["authorize", "login", "create"].map((call) => {
    const took = taps.flatMap((tap) => tap.notes).filter((note) => note.call === call && !note.lost).map((note) => note.took_ms);
    return `${call} ${ms(quantile(took, 0.5))} / ${ms(quantile(took, 0.95))}`;
  });
  const others = Math.round(seen.others * 100);
  return `
## ${weather}

| tap | taps | total ms, p50 / p95 / p99 / max | WeChat's own | over WeChat's own | of that, everpaid's answers | lost an answer | met a stall of the disk |
|---|--:|---|---|---|---|--:|--:|
${rows.join("\n")}

Before the first tap, from opening the link until the button could be tapped, with the login: p50 / p95 / p99 / max ${four(arrivals.map((arrival) => arrival.total_ms))} ms, of that WeChat's own ${four(arrivals.map((arrival) => arrival.wechat_ms))}.
WeChat answered within, p50 / p95 ms: ${answers.join(", ")}.${lost.length ? `\nTaps that lost an answer: ${lost.length}, total p50 / p95 / p99 / max ${four(lost.map((tap) => tap.total_ms))} ms.` : ""}
Others' CPU ${others} %, fsync p50 / p99 / max ${[0.5, 0.99, 1].map((share) => ms(quantile(seen.writes, share))).join(" / ")} ms${seen.was_quiet ? "" : ": **disturbed**"}.`;
}

/** The taps during which the disk did not stall: what a stall costs says nothing about a server. @param {Pick<Run, "taps"|"seen">} run */
function unstalled({ taps, seen }) {
  return taps.filter((tap) => !seen.stalled(tap.began, tap.ended));
}

/** What was promised, and what was seen by the taps that met no stall of the disk. @param {Run} calm @param {Run} storm */
export function verdicts(calm, storm) {
  const verdict = (got, limit, doubt = "") => `${got <= limit ? "met" : "**missed**"}${doubt}`;
  const rows = KINDS.flatMap(([kind, words]) => {
    const [well, badly] = [calm, storm].map((run) => unstalled(run).filter((tap) => tap.kind === kind));
    const [over, total] = [quantile(well.map(overhead), 0.95), quantile(badly.map((tap) => tap.total_ms), 0.95)];
    const answers = quantile(well.map((tap) => tap.everpaid_ms), 0.95);
    const lost = badly.filter((tap) => tap.lost).length;
    const asks = kind !== "again"; // nothing of WeChat's is waited for, so nothing can be lost
    const doubt = asks && lost < LOST_SHARE_MIN * badly.length ? `, but only ${lost} of ${badly.length} lost an answer` : "";
    return [
      `| ${words}: p95 ≤ ${CALM_P95_OVERHEAD_MS} ms over WeChat's own time, calm, ${well.length} taps | ${span(over)} | ${verdict(over, CALM_P95_OVERHEAD_MS)} |`,
      `| ${words}: of that, everpaid's answers, p95 | ${span(answers)} | ${verdict(answers, CALM_P95_OVERHEAD_MS)} |`,
      `| ${words}: p95 < ${STORM_P95_MS.toLocaleString("en")} ms, storm, ${badly.length} taps | ${span(total)} | ${verdict(total, STORM_P95_MS, doubt)} |`,
    ];
  });
  return `\n| floor | seen | |\n|---|---|---|\n${rows.join("\n")}`;
}
