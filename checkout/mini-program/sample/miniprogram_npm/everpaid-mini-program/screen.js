/** Decides what the component shows. Pure. */

const { isPaid, yuan } = require("./decide");
const { text } = require("./words");

/** @typedef {import("./words").Language} Language */
/** @typedef {import("./index").Order} Order */
/** @typedef {import("./index").Step} Step */
/** @typedef {import("./index").Result} Tried */
/** @typedef {import("./index").Result<"paid"|"unpaid"|"failed"|"unknown">} Answered */

/**
 * @typedef {object} Known
 * @property {Order|null} order            as the server last told it
 * @property {Step|null} step              how far the try is that goes on
 * @property {Tried|Answered|null} ended   how the last try ended; `unpaid` when that was unclear, and we asked again
 * @property {null|"offline"|"gone"} trouble   why there is no order
 *
 * @typedef {"loading"|"ready"|"opening"|"cashier"|"confirming"|"paid"|"cancelled"|"failed"|"unknown"|"closing"|"closed"|"offline"|"gone"} Name
 *
 * @typedef {object} Screen
 * @property {Name} screen
 * @property {string} amount
 * @property {string} message
 * @property {string} support   what the payer can tell the merchant when it does not work
 * @property {string} contact   how the merchant is reached, where the payer may need it
 * @property {string} button    "" when there is nothing to tap
 * @property {boolean} busy
 */

/** @returns {Known} */
function initial() {
  return { order: null, step: null, ended: null, trouble: null };
}

/** @param {Known} known @param {Step} step @returns {Known} */
function learnStep(known, step) {
  return Object.assign({}, known, { step, ended: null });
}

/** A try has ended. @param {Known} known @param {Tried} result @returns {Known} */
function learnEnd(known, result) {
  return { order: result.order || known.order, step: null, ended: result, trouble: null };
}

/**
 * A question is answered, or not. It clears up a doubt; how a try ended otherwise stays for the payer to read.
 * A cashier that says nothing holds nobody up: whoever is back on the page, and unpaid, may tap again. Without an
 * answer that is a doubt.
 * @param {Known} known
 * @param {Answered} answer
 * @returns {Known}
 */
function learnAnswer(known, answer) {
  const isCleared = known.ended !== null && known.ended.outcome === "unknown" && answer.outcome === "unpaid";
  const isDoubtful = known.step === "cashier" && answer.outcome === "unknown";
  return {
    order: answer.order || known.order,
    step: known.step === "cashier" ? null : known.step,
    ended: isCleared || isDoubtful ? answer : known.ended,
    trouble: answer.outcome === "failed" ? "gone" : answer.outcome === "unknown" ? "offline" : null,
  };
}

/**
 * The first line that fits.
 * @param {Known} known
 * @returns {Name}
 */
function nameOf({ order, step, ended, trouble }) {
  if (isPaid(order)) return "paid";
  if (step) return step;
  if (ended && ended.outcome === "unknown") return "unknown";
  if (!order) return trouble || "loading";
  if (order.status === "closed" || order.status === "closing") return order.status;
  if (ended && (ended.outcome === "cancelled" || ended.outcome === "failed")) return ended.outcome;
  return "ready";
}

/** Does the payer wait for something that only the server can tell? */
function follows(/** @type {Known} */ known) {
  const { ended } = known;
  const name = nameOf(known);
  return name === "unknown" || name === "closing" || name === "offline" || (name === "ready" && ended !== null);
}

/**
 * @param {Known} known
 * @param {Language} language
 * @returns {Screen}
 */
function screenOf(known, language) {
  const { order, ended, step } = known;
  const screen = nameOf(known);
  const amount = order ? yuan(order.amount.total) : "";
  const support = order && order.merchant.support;
  const code = screen === "failed" && ended && ended.requestId;
  return {
    screen,
    amount,
    message: messageOf(known, screen, language),
    support: code ? text(language, "support_code", { code }) : "",
    contact: mayNeedHelp(known, screen) && support ? text(language, "contact", { support }) : "",
    button: buttonOf(known, screen, amount, language),
    busy: step !== null && screen !== "paid",
  };
}

/** Where it did not work, and wherever the payer is asked not to pay again. @param {Known} known @param {Name} screen */
function mayNeedHelp({ ended }, screen) {
  return screen === "failed" || screen === "unknown" || screen === "closing" || screen === "closed" || (screen === "ready" && ended !== null);
}

/** @param {Known} known @param {Name} screen @param {Language} language */
function messageOf({ order, ended }, screen, language) {
  if (screen === "paid" && order) return text(language, order.status); // a refund is told too
  if (ended && (screen === "failed" || screen === "ready")) return ended.message;
  return text(language, screen);
}

/** @param {Known} known @param {Name} screen @param {string} amount @param {Language} language */
function buttonOf({ ended }, screen, amount, language) {
  switch (screen) {
    case "ready":
    case "opening":
    case "cashier":
    case "confirming":
      return text(language, "pay", { amount });
    case "cancelled":
    case "failed":
      return ended && ended.mayRetry ? text(language, "retry", { amount }) : "";
    case "unknown":
      return text(language, "check");
    case "offline":
      return text(language, "again");
    default:
      return "";
  }
}

module.exports = { follows, initial, learnAnswer, learnEnd, learnStep, screenOf };
