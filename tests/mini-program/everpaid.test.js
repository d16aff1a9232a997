// `pay` on a phone, against everpaid and its simulator, by the sample's own part of WeChat.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

import { Everpaid } from "../browser/everpaid.js";
import { openPhone } from "./phone.js";

const require = createRequire(import.meta.url);
const { check, pay } = require("../../checkout/mini-program/miniprogram_dist/index.js");
const sample = "../../checkout/mini-program/sample";
const { simulated } = require(`${sample}/simulator.js`);

const everpaid = new Everpaid();
let dev;
before(async () => (dev = await everpaid.start()));
after(async () => assert.equal(await everpaid.stop(), 0));

const PAY = 0;
const NO_BALANCE = 1;
const CLOSE = -1;

let numbers = 0;

async function asShop(method, path, body) {
  const headers = { Authorization: `Bearer ${dev.api_key}`, "Content-Type": "application/json" };
  const response = await fetch(dev.api_url + path, { method, headers, body: body && JSON.stringify(body) });
  assert.ok(response.ok, `${method} ${path}: ${response.status}`);
  return response.json();
}

async function simulator(path, body) {
  const response = await fetch(`${dev.simulator_url}/_sim/${path}`, body && { method: "POST", body: JSON.stringify(body) });
  return response.json();
}

/** An order, and a phone that the payer holds in front of it. */
async function buy(total = 3990) {
  numbers += 1;
  const asked = { merchant_order_no: `MP-${numbers}`, description: "一壶龙井", amount: { total, currency: "CNY" } };
  const { order, client_secret } = await asShop("POST", "/v1/orders", asked);
  const phone = openPhone();
  const steps = [];
  const options = { clientSecret: client_secret, baseUrl: dev.api_url, expectedTotal: total, wx: simulated(phone, dev.simulator_url), onStep: (step) => steps.push(step) };
  return {
    phone,
    steps,
    options,
    pay: () => pay(options),
    check: () => check(options),
    order: async () => (await asShop("GET", `/v1/orders/${order.id}`)).order,
    timeline: async () => (await asShop("GET", `/v1/orders/${order.id}/timeline`)).timeline,
    /** What WeChat Pay has of it. */
    atWeChat: async () => {
      const { payment } = (await asShop("GET", `/v1/orders/${order.id}`)).order;
      return simulator(`payments/${payment.out_trade_no}`);
    },
  };
}

test("AC1 AC2 the payer pays in the mini-program, and the order is paid", async () => {
  const tea = await buy();
  const result = await tea.pay();
  assert.equal(result.outcome, "paid");
  assert.equal(result.message, "支付成功");
  const order = await tea.order();
  assert.equal(order.status, "paid");
  assert.deepEqual([order.payment.method, order.payment.status], ["mini_program", "succeeded"]);
  const { trade_state, total, appid, transaction_id } = await tea.atWeChat();
  const { apps } = await simulator("merchant");
  assert.deepEqual([trade_state, total], ["SUCCESS", 3990]);
  assert.equal(apps.find((app) => app.appid === appid).kind, "mini_program");
  assert.equal(order.payment.transaction_id, transaction_id, "WeChat Pay's number is kept with it");
});

test("AC3 WeChat Pay's notification is verified and taken in; one that is wrongly signed is not", async () => {
  const tea = await buy();
  tea.phone.taps = async () => {
    // Nobody but the notification can say it, and a wrongly signed one comes first.
    const { out_trade_no: order } = await tea.atWeChat();
    await simulator("faults", { kind: "status_503", on: "query", order });
    await simulator("faults", { kind: "probe_signature", on: "notify", order, times: 1 });
    return PAY;
  };
  assert.equal((await tea.pay()).outcome, "paid");
  const [{ deliveries }] = (await tea.atWeChat()).notifications;
  assert.equal(deliveries[0].status, 401);
  const paid = (await tea.timeline()).find((line) => line.type === "event" && line.order_status === "paid");
  assert.equal(paid.learnt_from, "notification");
});

test("a notification that never comes is asked for", async () => {
  const tea = await buy();
  tea.phone.taps = async () => {
    const { out_trade_no: order } = await tea.atWeChat();
    await simulator("faults", { kind: "silent", on: "notify", order });
    return PAY;
  };
  assert.equal((await tea.pay()).outcome, "paid");
  assert.equal((await tea.order()).status, "paid");
});

test("WeChat that is too busy to log somebody in is asked again about the same code", async () => {
  const tea = await buy();
  await simulator("faults", { kind: "system_busy", on: "login", times: 1 });
  assert.equal((await tea.pay()).outcome, "paid");
});

test("AC4 whoever cancels can pay the same payment again", async () => {
  const tea = await buy();
  tea.phone.taps = async () => CLOSE;
  const left = await tea.pay();
  assert.deepEqual([left.outcome, left.mayRetry, left.detail], ["cancelled", true, "requestPayment:fail cancel"]);
  assert.equal((await tea.order()).status, "pending");
  const { out_trade_no } = await tea.atWeChat();
  tea.phone.taps = async () => PAY;
  assert.equal((await tea.pay()).outcome, "paid");
  const payment = await tea.atWeChat();
  assert.equal(payment.out_trade_no, out_trade_no);
  assert.deepEqual(payment.payer_attempts.map(({ outcome }) => outcome), ["cancelled", "paid"]);
});

test("AC5 whoever has not enough money is told, and can pay another way", async () => {
  const tea = await buy();
  tea.phone.taps = async () => NO_BALANCE;
  const failed = await tea.pay();
  assert.deepEqual([failed.outcome, failed.mayRetry], ["failed", true]);
  assert.match(failed.message, /支付没有成功.*换一种付款方式/);
  tea.phone.taps = async () => PAY;
  assert.equal((await tea.pay()).outcome, "paid");
});

test("UX1 UX2 between the tap and the cashier the payer is asked nothing, and whoever paid reads so", async () => {
  const tea = await buy();
  assert.equal((await tea.pay()).message, "支付成功");
  assert.deepEqual(tea.steps, ["opening", "cashier", "confirming"]);
  assert.deepEqual(tea.phone.calls, ["showActionSheet"]);
});

test("the server is killed while the cashier is open, and the payment is not lost", async () => {
  const tea = await buy();
  tea.phone.taps = async () => {
    await everpaid.kill();
    dev = await everpaid.start();
    return PAY;
  };
  assert.equal((await tea.pay()).outcome, "paid");
  assert.equal((await tea.order()).status, "paid");
});

test("the second phone in front of a paid order opens no cashier", async () => {
  const tea = await buy();
  await tea.pay();
  assert.equal((await tea.pay()).outcome, "paid");
  assert.equal((await tea.check()).outcome, "paid");
  assert.equal(tea.phone.calls.length, 1);
});

test("an order that the shop closed, another amount, a secret nobody made: no cashier, and a reason", async () => {
  const tea = await buy();
  const reason = async (change) => {
    const { outcome, code } = await pay({ ...tea.options, ...change });
    return [outcome, code];
  };
  assert.deepEqual(await reason({ expectedTotal: 1 }), ["failed", "amount_differs"]);
  assert.deepEqual(await reason({ appId: "wx0000000000000000" }), ["failed", "app_unknown"]);
  const { clientSecret } = tea.options;
  const other = clientSecret.endsWith("a") ? "b" : "a";
  assert.deepEqual(await reason({ clientSecret: clientSecret.slice(0, -1) + other }), ["failed", "unauthorized"]);
  await asShop("POST", `/v1/orders/${(await tea.order()).id}/close`);
  assert.deepEqual(await reason({}), ["failed", "order_closed"]);
  assert.deepEqual(tea.phone.calls, []);
});

test("the sample buys at the demo shop", async () => {
  require(`${sample}/config.js`).shopUrl = dev.shop_url;
  globalThis.wx = openPhone();
  const { buy } = require(`${sample}/shop.js`);
  const bought = await buy("jasmine");
  assert.equal((await pay({ ...bought, wx: simulated(wx, dev.simulator_url) })).outcome, "paid");
  await assert.rejects(buy("no such tea"), /the shop answered 404/);
});
