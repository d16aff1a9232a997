/**
 * The demo shop as a mini-program, in the simulator's frame: `wx` is the simulator's, the rest is what
 * a mini-program does. It shows 支付成功 when the server says paid, not when the cashier does.
 */

import { COPY as SHOP, yuan } from "./shop.js";

const COPY = Object.freeze({
  zh: {
    pay: "微信支付",
    paying: "正在支付…",
    checking: "正在确认支付结果，请勿重复支付…",
    paid: "支付成功",
    cancelled: "支付未完成，可重新支付。",
    failed: "没有付成，请重试。",
    unclear: "暂时无法确认支付结果。如果您已经付款，请勿重复支付。",
    over: "这个订单不能再支付。",
  },
  en: {
    pay: "Pay with WeChat",
    paying: "Paying…",
    checking: "Confirming your payment. Please do not pay again…",
    paid: "Payment successful",
    cancelled: "The payment was not completed. You can pay again.",
    failed: "That did not work. Please try again.",
    unclear: "The result is not known yet. If you have paid, please do not pay again.",
    over: "This order can no longer be paid.",
  },
});

const CHECKS = 8;
const CHECK_EVERY_MS = 2000;

const part = (id) => document.getElementById(id);
const api = document.body.dataset.api;
// The order's secret comes behind the #, which no server sees.
const secret = location.hash.slice(1);
const order = "/v1/orders/ord_" + secret.slice(3, 29);
const language = /^zh\b/i.test(navigator.language || "zh") ? "zh" : "en";

async function ask(method, path, body) {
  const response = await fetch(api + path, {
    method,
    headers: { Authorization: "Bearer " + secret, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
    cache: "no-store",
  });
  if (!response.ok) throw new Error(path + " answered " + response.status);
  return response.json();
}

function say(key) {
  part("said").textContent = COPY[language][key];
}

/** Draws the order and says whether it is paid. */
async function look() {
  const read = (await ask("GET", order)).order;
  const isPaid = ["paid", "partially_refunded", "refunded"].includes(read.status);
  part("what").textContent = read.description;
  part("amount").textContent = yuan(read.amount.total);
  part("pay").hidden = read.status !== "pending";
  if (isPaid) say("paid");
  else if (read.status !== "pending") say("over");
  return { read, isPaid };
}

async function pay() {
  part("pay").disabled = true;
  say("paying");
  try {
    const { read } = await look();
    const { code } = await wx.login();
    const payer = await ask("POST", "/v1/wechat/mini-program/login", { code });
    const wanted = { method: "mini_program", app_id: payer.app_id, openid: payer.openid, expected_total: read.amount.total };
    const { payment } = await ask("POST", order + "/payments", wanted);
    const { appId, ...fields } = payment.call_up; // a mini-program knows its own appid
    const { errMsg } = await wx.requestPayment(fields).catch((refused) => refused);
    await settle(payment.id, errMsg);
  } catch (_) {
    say("failed");
  }
  part("pay").disabled = false;
}

/** The cashier only claims; the server is asked until it knows, or patience ends. */
async function settle(payment, errMsg) {
  const claimed = errMsg === "requestPayment:ok";
  say("checking");
  for (let checks = 0; checks < (claimed ? CHECKS : 1); checks++) {
    if (checks > 0) await new Promise((then) => setTimeout(then, CHECK_EVERY_MS));
    await ask("POST", "/v1/payments/" + payment + "/confirm").catch(() => {});
    const isPaid = await look().then((seen) => seen.isPaid, () => false);
    if (isPaid) return;
  }
  say(claimed ? "unclear" : /cancel$/.test(errMsg) ? "cancelled" : "failed");
}

document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
part("name").textContent = SHOP[language].name;
part("pay").textContent = COPY[language].pay;
part("pay").addEventListener("click", pay);
look().catch(() => say("failed"));
