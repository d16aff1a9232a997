/**
 * Decides what became of it. Pure: no clock, no network, no `wx`.
 *
 * A mini-program cannot import from outside its package, so what the payer's page decides in
 * `checkout/order.js` and a mini-program needs too is here again, in a few lines.
 */

/** @typedef {import("./index").Order} Order */
/** @typedef {import("./index").Payment} Payment */
/** @typedef {import("./index").Outcome} Outcome */

/**
 * What the client said about its cashier.
 * @typedef {"ok"|"cancel"|"fail"|"unclear"} Said
 */

/**
 * What the server says; null where it did not answer.
 * @typedef {{order: Order|null, payment: Payment|null}} Word
 */

/** The order's id: a client secret is `cs_`, its 26 characters, and 43 that only the server can make. */
function orderIdOf(/** @type {unknown} */ clientSecret) {
  const parts = /^cs_([0-9A-HJKMNP-TV-Z]{26})[0-9A-Za-z]{43}$/.exec(String(clientSecret));
  return parts && "ord_" + parts[1];
}

/**
 * Reads the `errMsg` of `wx.requestPayment`.
 * @param {unknown} errMsg
 * @returns {Said}
 */
function saidBy(errMsg) {
  if (errMsg === "requestPayment:ok") return "ok";
  // Very old clients leave out the word "fail".
  if (/^requestPayment:(fail )?cancel$/.test(String(errMsg))) return "cancel";
  if (/^requestPayment:fail/.test(String(errMsg))) return "fail";
  return "unclear";
}

/**
 * Why there is no payment, for whoever reads the result.
 * @param {Said} said
 * @param {string=} detail  the client's own words
 */
function codeOf(said, detail) {
  if (said === "ok") return "not_confirmed";
  if (said === "fail") return /permission|banned/.test(detail || "") ? "cashier_not_allowed" : "cashier_failed";
  return "cashier_" + said;
}

/**
 * The server's word, and nobody else's.
 * @param {Order|null} order
 */
function isPaid(order) {
  return order !== null && ["paid", "partially_refunded", "refunded"].includes(order.status);
}

/**
 * Does the server, having been told to ask WeChat Pay, know of no payment?
 * @param {Word} word
 */
function isUnpaid({ order, payment }) {
  if (order === null || isPaid(order)) return false;
  // `unknown`, `closing` and `succeeded` may have been paid, or have been.
  return payment === null || ["queued", "created", "awaiting_payment", "closed", "failed"].includes(payment.status);
}

/**
 * What became of a try to pay. Null: ask again.
 * @param {Said} said
 * @param {Word} word
 * @returns {Outcome|null}
 */
function judge(said, word) {
  if (isPaid(word.order)) return "paid";
  switch (said) {
    case "cancel":
      return isUnpaid(word) ? "cancelled" : null;
    case "fail":
      return isUnpaid(word) ? "failed" : null;
    default:
      return null; // whoever says that it was paid is not told that it was not
  }
}

/** How long to wait before asking again: 1, 2, 3, then every 5 s. */
function nextAskMs(/** @type {number} */ asks) {
  return [1000, 2000, 3000, 5000][Math.min(asks, 3)];
}

/** Another tap would end the same way. */
const FINAL = [
  "client_secret_invalid",
  "unauthorized",
  "order_not_found",
  "order_closed",
  "order_expired",
  "status_only",
  "app_unknown",
  "payer_refused",
  "too_many_payments",
];

/**
 * @param {string} outcome
 * @param {string=} code
 */
function mayRetry(outcome, code) {
  return outcome === "cancelled" || (outcome === "failed" && !FINAL.includes(code || ""));
}

/** 123456 fen → "¥1,234.56". Whole numbers only: a float never touches money. */
function yuan(/** @type {unknown} */ fen) {
  if (typeof fen !== "number" || !Number.isSafeInteger(fen)) return "¥—";
  const digits = String(Math.abs(fen)).padStart(3, "0");
  const whole = digits.slice(0, -2).replace(/\B(?=(\d{3})+$)/g, ",");
  return (fen < 0 ? "-" : "") + "¥" + whole + "." + digits.slice(-2);
}

module.exports = { codeOf, isPaid, isUnpaid, judge, mayRetry, nextAskMs, orderIdOf, saidBy, yuan };
