// A real Prometheus with the configuration of ops/, on processes of a test.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as later } from "node:timers/promises";
import { stringify } from "yaml";

import { readYaml, repository, ruleFiles } from "./files.js";

/** A port that nobody listens on. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Asks until it holds; what `ask` gives back then, or its last error. Nobody tells of the next scrape. */
export async function eventually(ask, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await later(200);
  }
}

export class Prometheus {
  /** Reads the targets, `[{ targets: ["127.0.0.1:8702"], labels: { role } }]`, every second. */
  static async start(targets) {
    const prometheus = new Prometheus();
    prometheus.directory = mkdtempSync(join(tmpdir(), "everpaid-prometheus-"));
    const config = readYaml("ops/prometheus.yml");
    config.global = { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" };
    config.rule_files = ruleFiles.map((file) => join(repository, file));
    config.scrape_configs[0].static_configs = targets;
    const file = join(prometheus.directory, "prometheus.yml");
    writeFileSync(file, stringify(config));
    const listen = `127.0.0.1:${await freePort()}`;
    prometheus.url = `http://${listen}`;
    const options = [`--config.file=${file}`, `--storage.tsdb.path=${join(prometheus.directory, "data")}`, `--web.listen-address=${listen}`];
    prometheus.process = spawn("prometheus", options, { stdio: ["ignore", "ignore", "pipe"] });
    for await (const line of createInterface(prometheus.process.stderr)) {
      if (line.includes("Server is ready to receive web requests")) {
        prometheus.process.stderr.resume();
        return prometheus;
      }
    }
    throw new Error("Prometheus did not start");
  }

  async #get(path) {
    const answer = await (await fetch(`${this.url}/api/v1/${path}`)).json();
    assert.equal(answer.status, "success", `${path}: ${answer.error}`);
    return answer.data;
  }

  /** The values of an expression by now, with their labels. */
  async query(expr) {
    const data = await this.#get(`query?query=${encodeURIComponent(expr)}`);
    return data.resultType === "scalar" ? [{ labels: {}, value: Number(data.result[1]) }] : data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
  }

  /** Alerts that are pending or firing, as `name state`. */
  async alerts() {
    const { alerts } = await this.#get("alerts");
    return alerts.map(({ labels, state }) => `${labels.alertname} ${state}`).sort();
  }

  /** Every rule with its health and last error. */
  async rules() {
    return (await this.#get("rules")).groups.flatMap((group) => group.rules);
  }

  async stop() {
    const ended = once(this.process, "exit");
    this.process.kill("SIGTERM");
    await ended;
    rmSync(this.directory, { recursive: true });
  }
}
