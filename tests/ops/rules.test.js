// The rules are right by promtool's word, and nobody is woken without a page to read.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { everpaid } from "./executable.js";
import { alerts, panels, dashboards, read, readYaml, repository, ruleFiles, ruleTestFiles, rules } from "./files.js";

const promtool = (...command) => execFileSync("promtool", command, { cwd: repository, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

test("promtool finds nothing wrong with the configuration and its rules", () => {
  assert.match(promtool("check", "config", "ops/prometheus.yml"), new RegExp(`${ruleFiles.length} rule files found`));
  promtool("check", "rules", "--lint=all", "--lint-fatal", ...ruleFiles);
});

test("every alert fires when it should and is quiet when it should not", () => {
  promtool("test", "rules", ...ruleTestFiles);
  const tried = ruleTestFiles.flatMap((file) => readYaml(file).tests).flatMap((story) => story.alert_rule_test ?? []);
  for (const { alert } of alerts) {
    const outcomes = tried.filter((one) => one.alertname === alert).map((one) => (one.exp_alerts ?? []).length > 0);
    assert.deepEqual([...new Set(outcomes)].sort(), [false, true], `${alert} is not shown both firing and quiet`);
  }
  // promtool takes an unknown name for a quiet one.
  const known = new Set(alerts.map((rule) => rule.alert));
  assert.deepEqual(tried.filter((one) => !known.has(one.alertname)), []);
});

test("every alert says how bad it is, what is wrong, and leads to its heading", () => {
  const headings = [...read("docs/runbook.md").matchAll(/^## (.*)$/gm)].map(([, heading]) => heading);
  assert.deepEqual(headings.sort(), alerts.map((rule) => rule.alert).sort());
  for (const { alert, labels, annotations } of alerts) {
    assert.match(labels.severity, /^(critical|warning)$/, alert);
    assert.ok(annotations.summary, alert);
    assert.equal(annotations.runbook_url, `docs/runbook.md#${alert.toLowerCase()}`);
    const section = read("docs/runbook.md").split(`\n## ${alert}\n`)[1].split("\n## ")[0];
    assert.ok(section.trimStart().startsWith(`*${labels.severity}*`), `the runbook does not say how bad ${alert} is`);
    for (const part of ["**Look**", "**Do**"]) assert.ok(section.includes(part), `${alert} lacks ${part}`);
  }
});

test("the commands of the runbook exist", () => {
  const commands = new Set([...read("docs/runbook.md").matchAll(/`everpaid ((?:[a-z]+ ?)+)/g)].map(([, words]) => words.trim()));
  assert.ok(commands.size > 5, [...commands].join());
  for (const command of commands) {
    const help = execFileSync(everpaid, [...command.split(" "), "--help"], { encoding: "utf8" });
    assert.match(help, new RegExp(`Usage: everpaid ${command}`), command);
  }
});

test("dashboards and rules ask for metrics that are in docs/metrics.md", () => {
  const documented = new Set([...read("docs/metrics.md").matchAll(/^\| `(everpaid_[a-z_]+)`/gm)].map(([, name]) => name));
  const recorded = new Set(rules.map((rule) => rule.record).filter(Boolean));
  const unused = new Set(documented);
  for (const { expr } of [...rules, ...panels]) {
    for (const [name] of expr.matchAll(/\beverpaid[_:][a-z0-9_:]+/g)) {
      const metric = name.replace(/_(bucket|count|sum)$/, "");
      assert.ok(documented.has(metric) || recorded.has(name), `${name} in ${expr} is not in docs/metrics.md`);
      unused.delete(metric);
    }
  }
  // What was counted over its life is in rates of the others.
  assert.deepEqual([...unused], ["everpaid_cases_opened_total"]);
});

test("dashboards can be moved to another Prometheus, and say what they show in which unit", () => {
  assert.deepEqual(dashboards.map((one) => one.uid).sort(), ["everpaid-jobs", "everpaid-notifications", "everpaid-overview", "everpaid-webhooks", "everpaid-wechat-calls"]);
  for (const { file, templating, panels } of dashboards) {
    assert.deepEqual(templating.list.map(({ name, type, query }) => [name, type, query]), [["datasource", "datasource", "prometheus"]], file);
    assert.equal(new Set(panels.map((panel) => panel.id)).size, panels.length, file);
    for (const { title, description, datasource, fieldConfig, gridPos, targets } of panels) {
      assert.deepEqual(datasource, { type: "prometheus", uid: "${datasource}" }, `${file}: ${title}`);
      assert.ok(description.length > 10 && description.length < 200, `${file}: ${title} is not described in a line`);
      assert.ok(["s", "none", "short", "reqps", "ops", "percentunit"].includes(fieldConfig.defaults.unit), `${file}: ${title}`);
      assert.ok(gridPos.x + gridPos.w <= 24 && targets.length > 0, `${file}: ${title}`);
    }
  }
});
