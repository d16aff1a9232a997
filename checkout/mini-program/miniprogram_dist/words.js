/** Every word the payer reads, in both languages. */

/** @typedef {"zh"|"en"} Language */

/** @type {Readonly<Record<Language, Record<string, string>>>} */
const WORDS = Object.freeze({
  zh: {
    loading: "正在读取订单",
    ready: "待支付",
    opening: "正在拉起微信支付…",
    cashier: "请在微信支付中完成付款",
    confirming: "正在向微信支付核实，请稍候，请勿重复支付。",
    paid: "支付成功",
    refunded: "此订单已退款，款项原路退回。",
    partially_refunded: "此订单已部分退款，款项原路退回。",
    unpaid: "暂未查到付款。如果您已经付款，请勿重复支付，结果会自动显示在这里。",
    cancelled: "支付未完成，可以重新支付。",
    unknown: "暂时无法确认支付结果。如果您已经付款，请勿重复支付。请稍后再查，或在商家的订单页查看。",
    closing: "订单正在关闭。如果您已经付款，请勿重复支付，结果会显示在这里。",
    closed: "订单已关闭，不能再支付。如果您已经付款，请勿重复支付，请联系商家处理。",
    offline: "网络连接不上，请检查网络。",
    gone: "订单打不开：链接可能不完整，或已经失效。请回到商家的订单页重新打开。",

    failed_unknown: "微信支付没有接受这次请求，请重试或联系商家。",
    failed_network: "网络中断，没有收到回应。可以放心重试，不会重复扣款。",
    failed_slow: "微信支付暂时没有回应。可以放心重试，不会重复扣款。",
    failed_wechat_unavailable: "微信暂时没有回应。可以放心重试，不会重复扣款。",
    failed_amount_differs: "订单金额有变化，请核对金额后再支付。",
    failed_order_expired: "订单即将过期，不能再发起支付。",
    failed_payment_in_progress: "上一次支付正在处理，请稍等几秒再试。",
    failed_too_many_payments: "这个订单的支付次数已用完，请联系商家重新下单。",
    failed_login_failed: "微信登录没有成功，请重试。",
    failed_authorization_expired: "微信登录已失效，请重试。",
    failed_too_many_authorizations: "尝试次数过多，请稍后再试。",
    failed_payer_refused: "微信没有允许您在这里付款，请联系商家。",
    failed_snapshot_user: "您正在预览小程序。请使用完整服务后再支付。",
    failed_cashier_failed: "支付没有成功。请重试，或换一种付款方式。",
    failed_cashier_not_allowed: "这个小程序暂时不能使用微信支付，请联系商家。",

    pay: "微信支付 {amount}",
    retry: "重新支付 {amount}",
    check: "再查一次",
    again: "重新连接",
    support_code: "反馈给商家时请提供：{code}",
    contact: "联系商家：{support}",
  },

  en: {
    loading: "Loading your order",
    ready: "Ready to pay",
    opening: "Opening WeChat Pay…",
    cashier: "Please finish in WeChat Pay",
    confirming: "We are checking with WeChat Pay. Please wait, and do not pay again.",
    paid: "Payment successful",
    refunded: "This order was refunded to where it was paid from.",
    partially_refunded: "Part of this order was refunded to where it was paid from.",
    unpaid: "No payment found yet. If you have paid, please do not pay again; the result will appear here.",
    cancelled: "Payment not completed. You can pay again.",
    unknown:
      "We can't confirm the result yet. If you have paid, please do not pay again. Check again shortly, or look at your order with the merchant.",
    closing: "This order is being closed. If you have paid, do not pay again; the result will appear here.",
    closed: "This order is closed and can no longer be paid. If you have paid, please do not pay again and contact the merchant.",
    offline: "You are offline. Please check your connection.",
    gone: "This order can't be opened: the link may be incomplete or no longer valid. Please open it again from your order with the merchant.",

    failed_unknown: "WeChat Pay did not accept this request. Please try again or contact the merchant.",
    failed_network: "The connection broke before an answer came. It is safe to try again; you won't be charged twice.",
    failed_slow: "WeChat Pay is not answering right now. It is safe to try again; you won't be charged twice.",
    failed_wechat_unavailable: "WeChat is not answering right now. It is safe to try again; you won't be charged twice.",
    failed_amount_differs: "The amount of this order has changed. Please check it before you pay.",
    failed_order_expired: "This order is about to expire, so no new payment can be started.",
    failed_payment_in_progress: "An earlier payment is still being processed. Please try again in a few seconds.",
    failed_too_many_payments: "This order has been tried too many times. Please ask the merchant for a new one.",
    failed_login_failed: "WeChat could not log you in. Please try again.",
    failed_authorization_expired: "Your WeChat login is no longer valid. Please try again.",
    failed_too_many_authorizations: "That was tried too often. Please try again later.",
    failed_payer_refused: "WeChat does not let you pay here. Please contact the merchant.",
    failed_snapshot_user: "You are previewing this mini-program. Please use the full service before you pay.",
    failed_cashier_failed: "The payment did not go through. Try again, or another way to pay.",
    failed_cashier_not_allowed: "This mini-program can't take WeChat payments right now. Please contact the merchant.",

    pay: "Pay {amount} with WeChat",
    retry: "Pay {amount} again",
    check: "Check again",
    again: "Try again",
    support_code: "For the merchant's support: {code}",
    contact: "Contact the merchant: {support}",
  },
});

/** Chinese first; English for whoever set their WeChat to another language. @returns {Language} */
function languageFor(/** @type {string|undefined} */ language) {
  return !language || /^zh/i.test(language) ? "zh" : "en";
}

/**
 * @param {Language} language
 * @param {string} key
 * @param {Record<string, string>=} values
 */
function text(language, key, values = {}) {
  const words = WORDS[language][key];
  if (words === undefined) throw new Error("no words for " + key);
  return words.replace(/\{(\w+)\}/g, (slot, name) => (name in values ? values[name] : slot));
}

/**
 * Words for how it ended.
 * @param {Language} language
 * @param {string} outcome
 * @param {string=} code
 */
function textFor(language, outcome, code) {
  if (outcome !== "failed") return text(language, outcome);
  if (code === "client_secret_invalid" || code === "unauthorized" || code === "order_not_found") return text(language, "gone");
  if (code === "order_closed" || code === "status_only") return text(language, "closed");
  const key = "failed_" + code;
  return text(language, key in WORDS[language] ? key : "failed_unknown");
}

module.exports = { WORDS, languageFor, text, textFor };
