/**
 * A page of the shop's own that takes the payment itself, with everpaid.js: by QR code, or inside WeChat by
 * its cashier. It asks its own server which order it is about (`?order=`), draws what it likes, and does what
 * comes after a payment when everpaid says that it is paid.
 */

import { COPY as SHOP, yuan } from "./shop.js";

const COPY = Object.freeze({
  zh: {
    pay: "付款",
    scan: "请使用微信「扫一扫」扫码支付",
    confirming: "正在确认支付结果，请勿重复支付…",
    unclear: "暂时无法确认支付结果。如果您已经付款，请勿重复支付。",
    failed: "没有付成，请重试。",
    paid: "支付成功",
    over: "这个订单不能再支付。",
    wait: "请稍候…",
    thanks: "谢谢惠顾，茶叶马上寄出。",
  },
  en: {
    pay: "Pay",
    scan: "Open WeChat and use Scan to pay",
    confirming: "Confirming your payment. Please do not pay again…",
    unclear: "The result is not known yet. If you have paid, please do not pay again.",
    failed: "That did not work. Please try again.",
    paid: "Payment successful",
    over: "This order can no longer be paid.",
    wait: "One moment…",
    thanks: "Thank you! Your tea is on its way.",
  },
});

const SAID = { ready: null, scan: "scan", confirming: "confirming", unclear: "unclear", failed: "failed", paid: "paid" };
const OVER = ["expired", "closing", "closed", "gone"];

const part = (id) => document.getElementById(id);
const language = /^zh\b/i.test(navigator.language || "zh") ? "zh" : "en";
const t = (key) => COPY[language][key];

async function open() {
  const { openCheckout, may } = await import(document.body.dataset.api + "/checkout/everpaid.js");
  const number = new URL(location.href).searchParams.get("order");
  const { client_secret, app_id } = await (await fetch("/checkout?order=" + encodeURIComponent(number))).json();
  const checkout = openCheckout({ client_secret, app_id, onChange: draw, onPaid: thank });
  part("pay").addEventListener("click", checkout.pay);

  function draw(state) {
    const { order, payment, name } = state;
    part("what").textContent = order ? order.description : "";
    part("amount").textContent = order ? yuan(order.amount.total) : "";
    part("pay").hidden = !may(state, "pay");
    part("code").hidden = name !== "scan";
    const address = name === "scan" ? checkout.qrAddress(payment) : part("code").src;
    if (part("code").src !== address) part("code").src = address;
    const said = OVER.includes(name) ? "over" : name in SAID ? SAID[name] : "wait";
    part("said").textContent = said ? t(said) : "";
  }
}

/** Whatever a shop does next. The shop's server is told by webhook, too, and need not trust this page. */
function thank() {
  part("thanks").textContent = t("thanks");
  part("thanks").hidden = false;
}

document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
part("name").textContent = SHOP[language].name;
part("pay").textContent = t("pay");
open().catch(() => (part("said").textContent = t("failed")));
