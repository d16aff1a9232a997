// A real Prometheus reads a real everpaid with a bit of everything going on, and is asked for every
// expression of every dashboard and rule.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { Everpaid } from "../browser/everpaid.js";
import { alerts, panels, rules } from "./files.js";
import { Prometheus, eventually } from "./prometheus.js";

/** Panels that may be empty in a healthy run, with the reason. */
const MAY_BE_EMPTY = {
  "everpaid-overview: Requests that failed": "nothing is answered with 5xx",
  "everpaid-notifications: About others": "the demo merchant has no out_trade_no_prefix, so every number is its own",
};

/** Alerts whose expression has a value in this run: a case is open and a job is dead, on purpose. */
const HAVE_REASON = ["EverpaidCasesOpen", "EverpaidJobsDead"];

const everpaid = new Everpaid();
let dev, prometheus, orders = 0;

const post = async (base, path, token, body) => {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(base + path, { method: "POST", headers, body: JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, body: text && JSON.parse(text) };
};

async function placed() {
  orders += 1;
  const asked = { merchant_order_no: `OPS-${orders}`, description: "一壶龙井", amount: { total: 3990, currency: "CNY" } };
  const { status, body } = await post(dev.api_url, "/v1/orders", dev.api_key, asked);
  assert.equal(status, 201);
  return { ...body.order, client_secret: body.client_secret };
}

const status = async (path, name) => {
  const answer = await fetch(dev.api_url + path, { headers: { authorization: `Bearer ${dev.api_key}` } });
  return (await answer.json())[name].status;
};

async function paid() {
  const order = await placed();
  const { body } = await post(dev.api_url, `/v1/orders/${order.id}/payments`, dev.api_key, { method: "native", expected_total: 3990 });
  const number = body.payment.out_trade_no;
  // The create may be answered late, and the payment be open only then.
  await eventually(async () => assert.equal((await post(dev.simulator_url, `/_sim/payments/${number}/pay`)).status, 200));
  await eventually(async () => assert.equal(await status(`/v1/orders/${order.id}`, "order"), "paid"));
  return order;
}

/** A little of everything that a dashboard shows. */
async function busyHour() {
  for (const fault of [{ kind: "status_500", on: "create", times: 1 }, { kind: "refund_abnormal", on: "refund", times: 1 }]) {
    assert.equal((await post(dev.simulator_url, "/_sim/faults", null, fault)).status, 201);
  }
  await Promise.all([paid(), paid(), paid()]);
  const order = await paid();
  const refund = await post(dev.api_url, `/v1/orders/${order.id}/refunds`, dev.api_key, { merchant_refund_no: `R-${orders}`, amount: { total: 1000, currency: "CNY" } });
  assert.ok(refund.status < 300, JSON.stringify(refund.body));
  const { client_secret } = await placed();
  const login = await post(dev.api_url, "/v1/wechat/mini-program/login", client_secret, { code: `nonsense-${orders}` });
  assert.equal(login.body.code, "authorization_expired", JSON.stringify(login.body));
  // Not WeChat Pay's.
  assert.equal((await post(dev.api_url, "/v1/wechat/notifications/demo", null, {})).status, 401);
  return refund.body.refund.id;
}

/** A job for an order that was deleted by hand: it says itself that trying again cannot help. */
function orphanJob(number) {
  const now = Date.now();
  const insert = `import sqlite3; db = sqlite3.connect(${JSON.stringify(join(everpaid.data, "everpaid.sqlite"))}, timeout=20)
db.execute("INSERT INTO job (kind, subject, lane, due_at, created_at) VALUES ('push_status', 'ord_01JC3A0000000000000000TEA${number}', 1, ${now}, ${now})")
db.commit()`;
  execFileSync("python3", ["-c", insert]);
}

before(async () => {
  dev = await everpaid.start();
  prometheus = await Prometheus.start([{ targets: [new URL(dev.metrics_url).host], labels: { role: "serve" } }]);
  // Twice: what a counter begins with is no increase.
  orphanJob(1);
  const refund = await busyHour();
  await eventually(async () => assert.equal(await status(`/v1/refunds/${refund}`, "refund"), "abnormal"));
  const gaveUp = async (times) => {
    const [{ value }] = await prometheus.query('sum(everpaid_job_runs_total{outcome="gave_up"})');
    assert.equal(value, times);
  };
  await eventually(() => gaveUp(1));
  orphanJob(2);
  await busyHour();
  await eventually(() => gaveUp(2));
  // What the gauges say is read every five seconds.
  await eventually(async () => assert.deepEqual((await prometheus.query("everpaid_jobs_dead > 0")).map((one) => one.value), [2]));
  await eventually(async () => assert.ok((await prometheus.query("sum(everpaid_cases_open)"))[0].value > 0));
});

after(async () => {
  await prometheus?.stop();
  await everpaid.stop();
});

test("every panel of every dashboard shows something", async () => {
  const shows = async ({ at, expr }) => {
    const values = await prometheus.query(expr.replaceAll("$__rate_interval", "1m"));
    assert.ok(values.some(({ value }) => Number.isFinite(value)), `${at} is empty: ${expr}`);
  };
  const unfounded = new Set(Object.keys(MAY_BE_EMPTY));
  for (const panel of panels) {
    if (unfounded.delete(panel.at) || panel.at in MAY_BE_EMPTY) await prometheus.query(panel.expr.replaceAll("$__rate_interval", "1m"));
    else await eventually(() => shows(panel), 20);
  }
  assert.deepEqual([...unfounded], [], "there are no such panels");
});

test("every rule is evaluated, and what is recorded has a value", async () => {
  await eventually(async () => {
    const evaluated = await prometheus.rules();
    assert.equal(evaluated.length, rules.length);
    for (const { name, health, lastError } of evaluated) assert.equal(health, "ok", `${name}: ${lastError}`);
  });
  for (const { record } of rules.filter((rule) => rule.record)) {
    await eventually(async () => assert.ok((await prometheus.query(record)).every(({ value }) => Number.isFinite(value)) && (await prometheus.query(record)).length === 1, record));
  }
  const [{ value }] = await prometheus.query("everpaid:confirmations:rate1h");
  assert.ok(value > 0);
});

test("alerts ask for metrics and labels that are there", async () => {
  let asked = 0;
  for (const { alert, expr } of alerts) {
    for (const [, metric, , matchers] of expr.matchAll(/\b(everpaid[_:][a-z0-9_:]+|up\b)({((?:"[^"]*"|[^}"])*)})?/g)) {
      const labels = [...(matchers ?? "").matchAll(/(\w+)\s*[=!]/g)].map(([, label]) => `${label}!=""`);
      if (metric === "everpaid_redis_up") continue; // One process needs none; layout.test.js asks for it.
      assert.ok((await prometheus.query(`${metric}{${labels.join()}}`)).length > 0, `${alert}: ${metric}{${labels}}`);
      asked += 1;
    }
  }
  assert.ok(asked > alerts.length, `${asked}`);
});

test("a healthy run has no reason for an alert, but for the case and the dead jobs", async () => {
  const reasons = [];
  for (const { alert, expr } of alerts) {
    if ((await prometheus.query(expr)).length > 0) reasons.push(alert);
  }
  assert.deepEqual(reasons.sort(), HAVE_REASON);
  await eventually(async () => assert.deepEqual([...new Set(await prometheus.alerts())], HAVE_REASON.map((name) => `${name} pending`)));
});
