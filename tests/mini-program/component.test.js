// The component `everpaid-pay`, in WeChat's own simulation of components.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { JSDOM } from "jsdom";

import { openPhone, openStoppedClock } from "./phone.js";
import { LOST, OPENID, PAYABLE, SECRET, Server, order, payment, problem } from "./server.js";

const require = createRequire(import.meta.url);
const { window } = new JSDOM("<!doctype html>");
Object.assign(globalThis, { window, document: window.document, CustomEvent: window.CustomEvent });
const simulate = require("miniprogram-simulate");

const dist = fileURLToPath(new URL("../../checkout/mini-program/miniprogram_dist", import.meta.url));
const { configure } = require(`${dist}/index.js`);
// WeChat's own compiler is a program for x86-64.
const compiler = process.arch === "x64" ? "official" : "simulate";
const everpaidPay = simulate.load(`${dist}/everpaid-pay/index`, "everpaid-pay", { rootPath: dist, compiler });

const PENDING = { body: { order: order() } };
const OPENED = { body: { order: order("pending", PAYABLE) } };
const PAID = { body: { order: order("paid", payment("succeeded")) } };

let server, phone, clock, shown;
before(async () => (server = await Server.start()));
after(() => server?.stop());
beforeEach(() => {
  [phone, clock] = [openPhone(), openStoppedClock()];
  configure({ wx: phone, clock, baseUrl: server.url });
});
afterEach(() => shown?.component.detach());

/** A page with the component on it. */
function showPage(answers, properties = { clientSecret: SECRET }) {
  server.says(answers);
  const component = simulate.render(everpaidPay, properties);
  const told = [];
  component.addEventListener("paid", ({ detail }) => told.push(["paid", detail.order.status]));
  component.addEventListener("result", ({ detail }) => told.push(["result", detail.outcome, JSON.stringify(detail)]));
  component.attach(document.createElement("wx-page"));
  const text = (part) => component.dom.querySelector(`[class*="everpaid-pay--everpaid-${part} "]`)?.textContent ?? null;
  shown = {
    component,
    told,
    get amount() {
      return text("amount");
    },
    get message() {
      return text("message");
    },
    get button() {
      return text("button");
    },
    tap: () => component.querySelector(".everpaid-button").dispatchEvent("tap"),
    until: (screen) => until(component.dom, () => component.data.screen === screen),
  };
  return shown;
}

/** Resolves when what is drawn is as wished. */
async function until(dom, isThere) {
  if (isThere()) return;
  await new Promise((resolve) => {
    const observer = new window.MutationObserver(() => {
      if (!isThere()) return;
      observer.disconnect();
      resolve();
    });
    observer.observe(dom, { attributes: true, childList: true, subtree: true, characterData: true });
  });
}

test("AC1 AC2 UX2 one tap, WeChat's cashier, and 支付成功 when the server says so", async () => {
  const page = showPage({ order: [PENDING, OPENED, PAID] });
  assert.equal(page.message, "正在读取订单");
  await page.until("ready");
  assert.deepEqual([page.amount, page.message, page.button], ["¥39.90", "待支付", "微信支付 ¥39.90"]);
  assert.deepEqual(phone.calls, [], "looking opens nothing");
  page.tap();
  await page.until("confirming");
  assert.match(page.message, /请勿重复支付/);
  assert.equal(await clock.pass(), 1000);
  await page.until("paid");
  assert.deepEqual([page.message, page.button], ["支付成功", null]);
  assert.deepEqual(phone.calls, ["login", "requestPayment"]);
  assert.equal(server.requests[2].body.expected_total, 3990, "what the payer was shown");
  assert.deepEqual(page.told.map(([name, what]) => [name, what]), [["paid", "paid"], ["result", "paid"]]);
  assert.ok(!page.told[1][2].includes(OPENID));
});

test("a second tap is not a second payment", async () => {
  const page = showPage({ order: [PENDING, PAID] });
  await page.until("ready");
  let close;
  phone.cashier = () => new Promise((resolve) => (close = resolve));
  page.tap();
  page.tap();
  await page.until("cashier");
  page.tap();
  close("requestPayment:ok");
  await page.until("paid");
  assert.deepEqual(phone.calls, ["login", "requestPayment"]);
  assert.deepEqual(server.asked, ["order", "login", "open", "confirm", "order"]);
});

test("AC4 whoever cancels reads so, and can pay again", async () => {
  const page = showPage({});
  phone.cashier = async () => "requestPayment:fail cancel";
  await page.until("ready");
  page.tap();
  await page.until("cancelled");
  assert.deepEqual([page.message, page.button], ["支付未完成，可以重新支付。", "重新支付 ¥39.90"]);
  assert.equal(page.told[0][1], "cancelled");
  server.says({ order: PAID });
  phone.cashier = async () => "requestPayment:ok";
  page.tap();
  await page.until("paid");
});

test("AC5 UX2 a failure says what to do, and what to tell the merchant", async () => {
  const page = showPage({ open: problem(409, "too_many_payments") });
  await page.until("ready");
  page.tap();
  await page.until("failed");
  assert.equal(page.message, "这个订单的支付次数已用完，请联系商家重新下单。");
  assert.equal(page.component.data.support, "反馈给商家时请提供：req_1");
  assert.equal(page.component.data.contact, "联系商家：客服电话 020-0000-0000");
  assert.equal(page.button, null, "another tap would end the same way");

  const another = showPage({});
  phone.cashier = async () => "requestPayment:fail 支付验证签名失败";
  await another.until("ready");
  another.tap();
  await another.until("failed");
  assert.equal(another.button, "重新支付 ¥39.90");
  another.component.detach();
});

test("UX2 what cannot be found out says 请勿重复支付, offers no second payment, and is followed", async () => {
  const page = showPage({ order: PENDING });
  await page.until("ready");
  server.says({ confirm: problem(503, "busy") });
  page.tap();
  const waits = [];
  while (waits.length < 4) waits.push(await clock.pass());
  assert.deepEqual(waits, [1000, 2000, 3000, 5000]);
  await page.until("unknown");
  assert.match(page.message, /请勿重复支付/);
  assert.equal(page.button, "再查一次");
  // It asks by itself, …
  assert.equal(await clock.pass(), 1000);
  assert.equal(await clock.pass(), 2000);
  assert.equal(page.component.data.screen, "unknown");
  // … and when the payer asks. What is found out then is said with care.
  server.says({});
  page.tap();
  await page.until("ready");
  assert.match(page.message, /暂未查到付款。如果您已经付款，请勿重复支付/);
  assert.equal(page.button, "微信支付 ¥39.90");
  server.says({ order: PAID });
  await clock.pass();
  await page.until("paid");
  assert.deepEqual(page.told.map(([name, what]) => [name, what]), [["result", "unknown"], ["paid", "paid"]]);
});

test("it looks again when the page is shown, and not while it is hidden", async () => {
  const page = showPage({ order: PENDING });
  await page.until("ready");
  page.component.triggerPageLifeTime("hide");
  server.says({ order: PAID });
  page.component.triggerPageLifeTime("show");
  page.component.triggerPageLifeTime("show");
  await page.until("paid");
  assert.deepEqual(page.told, [["paid", "paid"]], "paid elsewhere is paid, too");
  page.component.triggerPageLifeTime("show");
  assert.deepEqual(server.asked, ["order"], "and nothing is asked about it any more");
});

test("a cashier that never answers is no dead end: back on the page, one can tap again", async () => {
  const page = showPage({});
  phone.cashier = async () => null;
  await page.until("ready");
  page.tap();
  await page.until("cashier");
  assert.ok(page.component.data.busy);
  page.component.triggerPageLifeTime("show");
  await page.until("ready");
  server.says({ order: PAID });
  phone.cashier = async () => "requestPayment:ok";
  page.tap();
  await page.until("paid");
});

test("no network on arrival is said, and over by itself", async () => {
  const page = showPage({ order: LOST });
  await page.until("offline");
  assert.deepEqual([page.amount, page.button], [null, "重新连接"]);
  server.says({ order: PENDING });
  await clock.pass();
  await page.until("ready");
});

test("an order that cannot be paid says why, and has no button", async () => {
  const cases = [
    [{ order: problem(404, "order_not_found") }, "gone", /订单打不开/],
    [{ order: { body: { order: order("closed", payment("closed")) } } }, "closed", /请勿重复支付，请联系商家处理/],
    [{ order: { body: { order: order("closing", payment("closing")) } }, confirm: { body: { payment: payment("closing") } } }, "closing", /请勿重复支付/],
    [{ order: { body: { order: order("refunded", payment("succeeded")) } } }, "paid", /已退款/],
    [{ order: { body: { order: order("partially_refunded", payment("succeeded")) } } }, "paid", /部分退款/],
  ];
  for (const [answers, screen, words] of cases) {
    const page = showPage(answers);
    await page.until(screen);
    assert.match(page.message, words);
    assert.equal(page.button, null);
    page.component.detach();
  }
});

test("the secret may come later, and change", async () => {
  const page = showPage({ order: PENDING }, {});
  assert.equal(page.component.data.screen, "loading");
  assert.deepEqual(server.asked, []);
  page.component.setData({ clientSecret: SECRET });
  await page.until("ready");
  page.component.setData({ clientSecret: "cs_nothing" });
  await page.until("gone");
});

/** Holds what the server answers from now on; `heard` resolves when that many answers were let through. */
function hold(phone, answers = 1) {
  const { request } = phone;
  const held = {};
  const opened = new Promise((open) => (held.open = open));
  held.heard = new Promise((heard) => {
    phone.request = (options) =>
      request({
        ...options,
        async success(answer) {
          await opened;
          options.success(answer);
          answers -= 1;
          if (answers === 0) setImmediate(heard);
        },
      });
  });
  return held;
}

test("an answer about the order before is not shown", async () => {
  const { request } = phone;
  const held = hold(phone);
  const page = showPage({ order: PAID });
  phone.request = request;
  page.component.setData({ clientSecret: "cs_nothing" });
  await page.until("gone");
  held.open();
  await held.heard;
  assert.deepEqual([page.component.data.screen, page.told], ["gone", []]);
});

test("how a try for the order before ended is not shown either", async () => {
  const page = showPage({ order: PENDING });
  let close;
  phone.cashier = () => new Promise((resolve) => (close = resolve));
  await page.until("ready");
  page.tap();
  await page.until("cashier");
  page.component.setData({ clientSecret: "cs_nothing" });
  await page.until("gone");
  const held = hold(phone, 2);
  held.open();
  close("requestPayment:fail cancel");
  await held.heard;
  assert.deepEqual([page.component.data.screen, page.told], ["gone", []]);
});

test("nobody is asked while nobody looks", async () => {
  const page = showPage({ order: LOST });
  await page.until("offline");
  page.component.triggerPageLifeTime("hide");
  await clock.pass();
  await new Promise(setImmediate);
  assert.equal(phone.requests, 1);
  server.says({ order: { body: { order: order("closing", payment("closed")) } } });
  const held = hold(phone);
  page.component.triggerPageLifeTime("show");
  page.component.triggerPageLifeTime("hide");
  held.open();
  await page.until("closing");
  await held.heard;
  assert.equal(clock.waits, 0, "it was hidden while the answer was on its way");
});

test("while the cashier is open nobody asks for what was unclear before", async () => {
  const page = showPage({ order: PENDING });
  await page.until("ready");
  server.says({ confirm: problem(503, "busy") });
  page.tap();
  for (let asks = 0; asks < 4; asks += 1) await clock.pass();
  await page.until("unknown");
  server.says({});
  page.tap();
  await page.until("ready");
  phone.cashier = async () => null;
  page.tap();
  await page.until("cashier");
  const { requests } = phone;
  await clock.pass();
  await new Promise(setImmediate);
  assert.deepEqual([page.component.data.screen, phone.requests], ["cashier", requests]);
});

test("type grows with the payer's WeChat", async () => {
  for (const [fontSizeScaleFactor, fontPx] of [[1, 17], [1.5, 25.5], [undefined, 17]]) {
    phone.getAppBaseInfo = () => ({ language: "zh_CN", fontSizeScaleFactor });
    const page = showPage({ order: PENDING });
    assert.match(page.component.dom.innerHTML, new RegExp(`font-size: ${fontPx}px`));
    page.component.detach();
  }
});

test("English for an English WeChat", async () => {
  phone.getAppBaseInfo = () => ({ language: "en" });
  const page = showPage({ order: PENDING });
  await page.until("ready");
  assert.deepEqual([page.message, page.button], ["Ready to pay", "Pay ¥39.90 with WeChat"]);
});

test("what the shop puts into the slots is shown where it belongs", async () => {
  const shop = simulate.load({
    template: `<everpaid-pay client-secret="{{secret}}"><view slot="order">七窨一提</view><view slot="paid">茶叶已在路上</view><view slot="help">请找店家</view></everpaid-pay>`,
    usingComponents: { "everpaid-pay": everpaidPay },
    data: { secret: SECRET },
  });
  for (const [answers, words] of [
    [{ order: PENDING }, ["七窨一提", "待支付"]],
    [{ order: PAID }, ["七窨一提", "茶叶已在路上"]],
    [{ order: { body: { order: order("closed") } } }, ["七窨一提", "请找店家"]],
  ]) {
    server.says(answers);
    const page = simulate.render(shop);
    page.attach(document.createElement("wx-page"));
    await until(page.dom, () => words.every((word) => page.dom.textContent.includes(word)));
    for (const word of ["茶叶已在路上", "请找店家"]) assert.equal(page.dom.textContent.includes(word), words.includes(word), word);
    page.detach();
  }
});
