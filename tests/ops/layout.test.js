// The processes of docker-compose.yml, started without containers: the same commands with the same
// configurations, on addresses of this machine and a database of their own.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";

import { everpaid } from "./executable.js";
import { read, readYaml, repository } from "./files.js";
import { Prometheus, eventually, freePort } from "./prometheus.js";

const API_KEY = "sk_test_compose";
const { services } = readYaml("docker-compose.yml");
const of_role = (...roles) => Object.keys(services).filter((name) => roles.includes(services[name].command?.[0]));

const directory = mkdtempSync(join(tmpdir(), "everpaid-layout-"));
const database = `everpaid_layout_${process.pid}`;
const postgres = process.env.EVERPAID_TEST_POSTGRES;
const redis = process.env.EVERPAID_TEST_REDIS;
/** Another one, for what a person does by hand. */
const by_hand = `${database}_by_hand`;
const sql = (statement) => execFileSync("psql", [`${postgres}/postgres`, "-qAtc", statement], { encoding: "utf8" });

/** By service: what listens where. */
const ports = {};
const running = {};
let prometheus;

/** What stands in the containers' files, on this machine. */
function here(name, text) {
  return text
    .replace("/etc/everpaid/simulator.toml", join(repository, "ops/simulator.compose.toml"))
    .replaceAll("/var/lib/everpaid", directory)
    .replace(/(?:0\.0\.0\.0|127\.0\.0\.1):(\d+)/, (_, port) => `127.0.0.1:${ports[name][port]}`);
}

function environment(name) {
  const credentials = join(directory, "credentials");
  return {
    PATH: process.env.PATH,
    EVERPAID_CONFIG: join(repository, "ops/everpaid.compose.toml"),
    EVERPAID__LISTEN: `127.0.0.1:${ports[name][8700]}`,
    EVERPAID__METRICS_LISTEN: `127.0.0.1:${ports[name][8702]}`,
    EVERPAID__PUBLIC_URL: url("api-1"),
    EVERPAID__DATABASE__URL: `${postgres}/${database}`,
    // The Postgres of a test run does not sync its files.
    EVERPAID__DATABASE__ALLOW_UNSAFE_DURABILITY: "true",
    EVERPAID__REDIS__URL: redis,
    EVERPAID__REDIS__PREFIX: database,
    EVERPAID__WECHAT__BASE_URL: `http://127.0.0.1:${ports.simulator[8701]}`,
    EVERPAID__MERCHANTS__DEMO__PRIVATE_KEY_FILE: join(credentials, "apiclient_key.pem"),
    EVERPAID__MERCHANTS__DEMO__APIV3_KEY_FILE: join(credentials, "apiv3.key"),
    EVERPAID__MERCHANTS__DEMO__PUBLIC_KEY_FILE: join(credentials, "pub_key.pem"),
  };
}

const url = (name) => `http://127.0.0.1:${ports[name][8700]}`;
const command = (name, ...words) => execFileSync(everpaid, words, { env: environment(name), encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

async function start(name) {
  const words = services[name].command.map((word) => here(name, word));
  const child = spawn(everpaid, words, { env: environment(name), stdio: ["ignore", "ignore", "pipe"] });
  running[name] = child;
  let said = "";
  child.stderr.on("data", (chunk) => (said += chunk));
  // As the engine does: its own healthcheck, until it is well.
  const [, ...check] = services[name].healthcheck.test;
  assert.equal(check[0], "everpaid");
  await eventually(() => {
    assert.equal(child.exitCode, null, `${name} ended: ${said}`);
    command(name, ...check.slice(1).map((word) => here(name, word)));
  });
}

async function end(name, signal) {
  const child = running[name];
  delete running[name];
  const ended = once(child, "exit");
  child.kill(signal);
  return (await ended)[0];
}

const asked = async (base, path, body) => {
  const headers = { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" };
  const answer = await fetch(base + path, body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers });
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
};

/** An order with a payment that can be paid, through that api. */
async function payable(api, number) {
  const { order, client_secret } = await asked(url(api), "/v1/orders", { merchant_order_no: number, description: "一壶龙井", amount: { total: 3990, currency: "CNY" } });
  const { payment } = await asked(url(api), `/v1/orders/${order.id}/payments`, { method: "native", expected_total: 3990 });
  return { order, client_secret, out_trade_no: payment.out_trade_no };
}

const pay = ({ out_trade_no }) =>
  eventually(async () => {
    const answer = await fetch(`http://127.0.0.1:${ports.simulator[8701]}/_sim/payments/${out_trade_no}/pay`, { method: "POST" });
    assert.equal(answer.status, 200);
  });

const is_paid = (api, { order }) => eventually(async () => assert.equal((await asked(url(api), `/v1/orders/${order.id}`)).order.status, "paid"));

before(async () => {
  assert.ok(postgres && redis, "EVERPAID_TEST_POSTGRES or EVERPAID_TEST_REDIS names no server; test.sh starts both");
  for (const name of of_role("api", "worker", "simulator", "migrate")) {
    ports[name] = { 8700: await freePort(), 8701: await freePort(), 8702: await freePort() };
  }
  for (const name of [database, by_hand]) sql(`CREATE DATABASE ${name}`);
  await start("simulator");
  assert.match(command("migrate", ...services.migrate.command), /^applied /m);
  for (const name of of_role("api", "worker")) await start(name);
  const target = (role) => ({ targets: of_role(role).map((name) => `127.0.0.1:${ports[name][8702]}`), labels: { role } });
  prometheus = await Prometheus.start([target("api"), target("worker")]);
});

after(async () => {
  await prometheus?.stop();
  for (const name of Object.keys(running)) await end(name, "SIGKILL");
  for (const name of postgres ? [database, by_hand] : []) sql(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  rmSync(directory, { recursive: true });
});

test("what one api was asked for is paid and shown at the other", async () => {
  const placed = await payable("api-2", "L-1");
  const events = await fetch(`${url("api-1")}/v1/orders/${placed.order.id}/events?client_secret=${placed.client_secret}`);
  await pay(placed);
  let heard = "";
  for await (const chunk of events.body.pipeThrough(new TextDecoderStream())) {
    heard += chunk;
    if (heard.includes("payment_succeeded")) break;
  }
  assert.match(heard, /payment_succeeded/);
  await is_paid("api-2", placed);
  assert.match(command("api-1", "explain", "L-1"), /Paid in full/);
});

test("Prometheus reads every process, and the gauges of all say the same", async () => {
  const up = [...of_role("api"), ...of_role("worker")].length;
  await eventually(async () => assert.deepEqual((await prometheus.query('count by (role) (up{job="everpaid"} == 1)')).map(({ labels, value }) => [labels.role, value]).sort(), [["api", 2], ["worker", 3]]));
  for (const gauge of ["everpaid_database_up", "everpaid_redis_up"]) {
    await eventually(async () => assert.deepEqual((await prometheus.query(`sum(${gauge})`)).map((one) => one.value), [up]));
  }
  assert.deepEqual((await prometheus.query("max(everpaid_jobs_dead)")).map((one) => one.value), [0]);
});

test("a worker is killed: its orders are paid by the others, and Prometheus knows who is away", async () => {
  const placed = await Promise.all([1, 2, 3, 4, 5, 6].map((number) => payable(`api-${1 + (number % 2)}`, `L-KILL-${number}`)));
  const paying = Promise.all(placed.map(pay));
  await end("worker-2", "SIGKILL");
  await paying;
  for (const one of placed) await is_paid("api-1", one);
  const away = `127.0.0.1:${ports["worker-2"][8702]}`;
  await eventually(async () => assert.deepEqual((await prometheus.query('up{job="everpaid"} == 0')).map(({ labels }) => labels.instance), [away]));
  await eventually(async () => assert.deepEqual(await prometheus.alerts(), ["EverpaidProcessAway pending"]));
  assert.match(command("api-1", "explain", "L-KILL-3"), /Paid in full/);
  await start("worker-2");
  await eventually(async () => assert.deepEqual(await prometheus.alerts(), []));
});

test("the database goes away: every process says so, and finds it again", async () => {
  const up = (value) => eventually(async () => assert.deepEqual((await prometheus.query("everpaid_database_up")).map((one) => one.value), Array(5).fill(value)));
  const ready = async () => (await fetch(`${url("api-1")}/readyz`)).status;
  const placed = await payable("api-1", "L-AWAY");
  sql(`ALTER DATABASE ${database} WITH ALLOW_CONNECTIONS false`);
  sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`);
  await up(0);
  await eventually(async () => assert.ok((await prometheus.alerts()).includes("EverpaidDatabaseAway pending")));
  assert.equal(await ready(), 503);
  // WeChat Pay's word is answered with 5xx, and comes again.
  await pay(placed);
  sql(`ALTER DATABASE ${database} WITH ALLOW_CONNECTIONS true`);
  await up(1);
  assert.equal(await ready(), 200);
  await is_paid("api-2", placed);
});

test("told to stop, every process finishes and ends well within its grace period", async () => {
  for (const name of [...of_role("worker"), ...of_role("api"), "simulator"]) {
    const told = Date.now();
    assert.equal(await end(name, "SIGTERM"), 0, name);
    assert.ok(Date.now() - told < 25_000, name);
  }
});

test("a person who follows docs/operations.md finds an order after a killed worker", async () => {
  const blocks = read("docs/operations.md").split("\n## ").find((part) => part.startsWith("Scaled out")).matchAll(/```sh\n([^]*?)```/g);
  const [bring_up, use] = [...blocks].map(([, block]) => block);
  // Another database, and listeners where nobody listens.
  const free = {};
  for (const port of [8700, 8701, 8702, 8710, 8712, 8721, 8722, 8723]) free[port] = await freePort();
  const moved = (text) => text.replace(/\b87\d\d\b/g, (port) => free[port]);
  const script = moved(`set -euo pipefail
trap 'kill $(jobs -p) 2> /dev/null || true' EXIT
${bring_up}${use}wait`)
    .replace(/^export DATABASE_URL=.*$/m, `export DATABASE_URL=${postgres}/${by_hand}`)
    .replace(/^export REDIS_URL=.*$/m, `export REDIS_URL=${redis} EVERPAID__REDIS__PREFIX=${by_hand}`)
    .replace("everpaid simulator", `everpaid simulator --listen 127.0.0.1:${free[8701]}`)
    .replace("../ops/everpaid.compose.toml", `${Object.keys(free).map((port) => `-e s/:${port}/:${free[port]}/`).join(" ")} ../ops/everpaid.compose.toml`)
    .replace("872$n", `$(cut -d' ' -f$n <<< "${free[8721]} ${free[8722]} ${free[8723]}")`);
  const home = join(directory, "by-hand");
  mkdirSync(home);
  symlinkSync(join(repository, "ops"), join(home, "ops"));
  const options = { cwd: home, env: { PATH: `${dirname(everpaid)}:${process.env.PATH}`, EVERPAID__DATABASE__ALLOW_UNSAFE_DURABILITY: "true" }, encoding: "utf8", timeout: 120_000, stdio: ["ignore", "pipe", "pipe"] };
  const printed = execFileSync("bash", ["-c", script], options);
  assert.equal(printed.match(/ is well$/gm).length, 5);
  assert.match(printed, /"SUCCESS"/);
  assert.match(printed, /H-1\n  Paid in full/);
});
