// What ops/ says: rules, their tests, dashboards.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

export const repository = fileURLToPath(new URL("../..", import.meta.url));

const names = (folder, end) => readdirSync(join(repository, folder)).filter((name) => name.endsWith(end)).map((name) => join(folder, name));

export const read = (path) => readFileSync(join(repository, path), "utf8");
export const readYaml = (path) => parse(read(path), { merge: true });

export const ruleFiles = names("ops/rules", ".yml");
export const ruleTestFiles = names("ops/tests", ".yml");

/** Every rule: one that records has `record`, one that alerts has `alert`. */
export const rules = ruleFiles.flatMap((file) => readYaml(file).groups.flatMap((group) => group.rules));
export const alerts = rules.filter((rule) => rule.alert);

/** Every expression of a dashboard, with where it stands. */
export const dashboards = names("ops/grafana", ".json").map((file) => ({ file, ...JSON.parse(read(file)) }));
export const panels = dashboards.flatMap((dashboard) =>
  dashboard.panels.flatMap((panel) => panel.targets.map(({ expr }) => ({ at: `${dashboard.uid}: ${panel.title}`, expr }))));
