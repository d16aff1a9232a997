// The server under test: the real `everpaid serve` on SQLite, configured by a file as a shop would do it.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const API_KEY = "sk_bench_0123456789abcdef0123456789abcdef";
const READY_MS_MAX = 20000;

/**
 * @param {object} settings
 * @param {string} settings.executable
 * @param {string} settings.directory  where its data and its log go
 * @param {number} settings.port
 * @param {string} settings.wechat_url  every host of WeChat's
 * @param {object} settings.merchant  what the simulator's `/_sim/merchant` says
 */
export async function startServer({ executable, directory, port, wechat_url, merchant }) {
  const config = join(directory, "everpaid.toml");
  const log = join(directory, "everpaid.log");
  const api_url = `http://127.0.0.1:${port}`;
  writeFileSync(config, toml({ api_url, directory, wechat_url, merchant, metrics_port: await freePort() }), { mode: 0o600 });
  const output = openSync(log, "a");
  const run = (...command) => spawn(executable, [...command, "--config", config], { stdio: ["ignore", output, output] });
  const said = () => readFileSync(log, "utf8").split("\n").slice(-6).join("\n");

  const [migrated] = await once(run("migrate", "up"), "exit");
  if (migrated !== 0) throw new Error(`everpaid migrate ended with ${migrated}\n${said()}`);
  const server = run("serve");
  process.prependOnceListener("exit", () => server.kill("SIGKILL")); // whatever ends us
  closeSync(output);
  const ended = once(server, "exit");
  for (const end = Date.now() + READY_MS_MAX; ; await pause(20)) {
    const ready = await fetch(`${api_url}/readyz`).catch(() => null);
    if (ready?.ok) break;
    if (server.exitCode !== null || Date.now() > end) {
      server.kill("SIGKILL");
      throw new Error(`everpaid did not become ready\n${said()}`);
    }
  }
  return {
    api_url,
    api_key: API_KEY,
    async stop() {
      server.kill("SIGTERM");
      await ended;
    },
  };
}

/** A port that nobody has at the moment. */
export async function freePort() {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address();
  taken.close();
  await once(taken, "close");
  return port;
}

function toml({ api_url, directory, wechat_url, merchant, metrics_port }) {
  const text = JSON.stringify; // a JSON string is a TOML string too
  const apps = merchant.apps.map(({ appid, kind, secret }) => `${appid} = { kind = ${text(kind)}, secret = ${text(secret)} }`);
  return `listen = ${text(new URL(api_url).host)}
metrics_listen = "127.0.0.1:${metrics_port}"
public_url = ${text(api_url)}
[database]
url = ${text(`sqlite://${join(directory, "everpaid.sqlite")}`)}
[wechat]
base_url = ${text(wechat_url)}
backup_url = ${text(wechat_url)}
[links]
key = "the link key of a benchmark, which protects nothing"
[merchants.bench]
display_name = "Benchmark"
mchid = ${text(merchant.mchid)}
certificate_serial = ${text(merchant.certificate_serial)}
private_key = ${text(merchant.private_key)}
apiv3_key = ${text(merchant.apiv3_key)}
public_key_id = ${text(merchant.public_key_id)}
public_key = ${text(merchant.public_key)}
api_key_hashes = ["${createHash("sha256").update(API_KEY).digest("hex")}"]
apps = { ${apps.join(", ")} }
`;
}
