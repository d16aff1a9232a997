/** Walks the payer through: log in, open a payment, WeChat's cashier, and what the server says became of it. */

const { codeOf, isPaid, isUnpaid, judge, mayRetry, nextAskMs, saidBy } = require("./decide");
const { Refusal, connect } = require("./server");
const { complete } = require("./settings");
const { languageFor, textFor } = require("./words");

/** @typedef {import("./index").Options} Options */
/** @typedef {import("./index").Payment} Payment */
/** @typedef {import("./decide").Said} Said */
/** @typedef {import("./decide").Word} Word */
/** @typedef {ReturnType<typeof begin>} Attempt */
/** @typedef {Payment & {call_up: import("./index").CallUp}} OpenPayment */
/** @typedef {{code?: string, detail?: string, request_id?: string}} Why */

const LOGIN_TRIES_MAX = 3;
/** As long as the payer's page waits. */
const OPENING_MS_MAX = 30000;
const CONFIRMING_MS_MAX = 15000;
/** How long the server is asked after the payer came back and the cashier has said nothing. */
const SILENT_MS_MAX = 60000;

/** @type {typeof import("./index").pay} */
async function pay(options) {
  const attempt = begin(options);
  attempt.onStep("opening");
  let payment;
  try {
    payment = await open(attempt, await identify(attempt));
  } catch (error) {
    return refused(attempt, asRefusal(error));
  }
  attempt.onStep("cashier");
  const { said, detail } = await callUp(attempt, payment);
  attempt.onStep("confirming");
  return conclude(attempt, said, payment, { code: codeOf(said, detail), detail });
}

/** @type {typeof import("./index").check} */
async function check(options) {
  const attempt = begin(options);
  const { word, refusal } = await ask(attempt, null);
  if (isPaid(word.order)) return result(attempt, "paid");
  if (isUnpaid(word)) return result(attempt, "unpaid");
  return result(attempt, refusal && refusal.isForTheLink ? "failed" : "unknown", refusal);
}

/**
 * What a try needs, or a TypeError for whoever wrote the call.
 * @param {Options} options
 */
function begin(options) {
  const { appId, baseUrl, clientSecret, clock, expectedTotal, onStep = () => {}, wx } = complete(options);
  if (typeof clientSecret !== "string") throw new TypeError("clientSecret: an order's client_secret is needed");
  if (!baseUrl || !/^https?:\/\/[^/]/.test(baseUrl)) throw new TypeError("baseUrl: the address of everpaid is needed");
  return {
    appId,
    clock,
    expectedTotal,
    onStep,
    wx,
    server: connect(wx, baseUrl, clientSecret),
    language: languageFor(wx.getAppBaseInfo().language),
    /** As the server last told it. @type {import("./index").Order|null} */
    order: null,
  };
}

/**
 * Who holds the phone. The server takes the same code again when WeChat did not answer it; a code that
 * is spent or old is replaced, once.
 */
async function identify(/** @type {Attempt} */ { appId, clock, server, wx }) {
  let code = await logIn(wx);
  for (let tries = 1, logins = 1; ; tries += 1) {
    try {
      return await server.logIn(code, appId);
    } catch (error) {
      const refusal = asRefusal(error);
      if (tries === LOGIN_TRIES_MAX) throw refusal;
      if (refusal.code === "authorization_expired" && logins === 1) {
        code = await logIn(wx);
        logins += 1;
      } else if (refusal.retryable) {
        await clock.pause(refusal.retry_after_ms);
      } else {
        throw refusal;
      }
    }
  }
}

/** @returns {Promise<string>} */
function logIn(/** @type {import("./index").WeChat} */ wx) {
  return new Promise((resolve, reject) => {
    const fail = (/** @type {{errMsg: string}} */ { errMsg }) => reject(new Refusal({ code: "login_failed", detail: errMsg }));
    wx.login({ success: (answer) => (answer.code ? resolve(answer.code) : fail(answer)), fail });
  });
}

/**
 * The payment that WeChat's cashier can be opened for. The server gives the live one again, so asking
 * once more opens no second one.
 * @param {Attempt} attempt
 * @param {{app_id: string, openid: string}} payer
 * @returns {Promise<OpenPayment>}
 */
async function open({ clock, expectedTotal, server }, payer) {
  const end = clock.now() + OPENING_MS_MAX;
  let refusal = new Refusal({ code: "slow" });
  let opened = "";
  for (let asks = 0; ; asks += 1) {
    let wait = nextAskMs(asks);
    try {
      const { payment, retry_after_ms } = opened ? await server.readPayment(opened) : await server.openPayment(payer, expectedTotal);
      if (payment.call_up) return Object.assign(payment, { call_up: payment.call_up });
      if (payment.status === "succeeded") throw new Refusal({ code: "order_paid" });
      if (payment.status === "closed" || payment.status === "failed") {
        throw new Refusal({ code: "payment_refused", detail: payment.failure && payment.failure.code });
      }
      opened = payment.id;
      wait = Math.max(wait, retry_after_ms);
    } catch (error) {
      refusal = asRefusal(error);
      if (!refusal.retryable) throw refusal;
      wait = Math.max(wait, refusal.retry_after_ms);
    }
    if (clock.now() + wait > end) throw refusal;
    await clock.pause(wait);
  }
}

/**
 * Opens WeChat's cashier, and ends with what the client says about it. A client may never say
 * anything: then the server is asked when the payer comes back, and only its "paid" ends the wait.
 * @param {Attempt} attempt
 * @param {OpenPayment} payment
 * @returns {Promise<{said: Said, detail?: string}>}
 */
function callUp(attempt, payment) {
  const { wx } = attempt;
  // A mini-program knows its own appId.
  const { timeStamp, nonceStr, package: prepay, signType, paySign } = payment.call_up;
  return new Promise((resolve) => {
    let over = false;
    /** @param {Said} said @param {string=} detail */
    function end(said, detail) {
      over = true;
      wx.offAppShow(shown);
      resolve({ said, detail });
    }
    async function shown() {
      await askUntil(attempt, payment, SILENT_MS_MAX, ({ order }) => over || isPaid(order));
      if (!over && isPaid(attempt.order)) end("ok");
    }
    const settle = (/** @type {{errMsg: string}} */ { errMsg }) => end(saidBy(errMsg), errMsg);
    wx.onAppShow(shown);
    try {
      // Very old clients tell only `complete` that the payer left.
      wx.requestPayment({ timeStamp, nonceStr, package: prepay, signType, paySign, success: settle, fail: settle, complete: settle });
    } catch (error) {
      end("fail", String(error));
    }
  });
}

/**
 * Nothing was paid in this try; but an earlier one may have been.
 * @param {Attempt} attempt
 * @param {import("./server").RefusalType} refusal
 */
async function refused(attempt, refusal) {
  if (refusal.code === "order_paid") return conclude(attempt, "ok", null, refusal);
  if (refusal.status > 0) await ask(attempt, null);
  return isPaid(attempt.order) ? result(attempt, "paid") : result(attempt, "failed", refusal);
}

/**
 * The server decides, whatever was said.
 * @param {Attempt} attempt
 * @param {Said} said
 * @param {Payment|null} payment
 * @param {Why} why
 */
async function conclude(attempt, said, payment, why) {
  const outcome = await askUntil(attempt, payment, CONFIRMING_MS_MAX, (word) => judge(said, word));
  return result(attempt, outcome || "unknown", outcome === "cancelled" ? { detail: why.detail } : why);
}

/**
 * Asks again, later and later, until `enough` makes something of the answer or patience ends.
 * @template T
 * @param {Attempt} attempt
 * @param {Payment|null} payment
 * @param {number} patience_ms
 * @param {(word: Word) => T} enough
 * @returns {Promise<T|null>}
 */
async function askUntil(attempt, payment, patience_ms, enough) {
  const { clock } = attempt;
  const end = clock.now() + patience_ms;
  for (let asks = 0; ; asks += 1) {
    const { word } = await ask(attempt, payment);
    const made = enough(word);
    if (made) return made;
    const wait = nextAskMs(asks);
    if (clock.now() + wait > end) return null;
    await clock.pause(wait);
  }
}

/**
 * Has the server ask WeChat Pay about the payment, or about the one that is under way, and reads the order.
 * @param {Attempt} attempt
 * @param {Payment|null} payment
 * @returns {Promise<{word: Word, refusal?: import("./server").RefusalType}>}
 */
async function ask(attempt, payment) {
  const { server } = attempt;
  try {
    if (payment === null) {
      const order = (attempt.order = await server.readOrder());
      payment = order.payment;
      if (payment === null || isPaid(order) || payment.status === "closed" || payment.status === "failed") {
        return { word: { order, payment } };
      }
    }
    const confirmed = await server.confirmPayment(payment.id).catch(asRefusal);
    const order = (attempt.order = await server.readOrder());
    if (confirmed instanceof Refusal) {
      if (!isPaid(order)) throw confirmed;
      return { word: { order, payment } };
    }
    return { word: { order, payment: confirmed } };
  } catch (error) {
    return { word: { order: null, payment: null }, refusal: asRefusal(error) };
  }
}

/**
 * @template {string} T
 * @param {Attempt} attempt
 * @param {T} outcome
 * @param {Why=} why
 * @returns {import("./index").Result<T>}
 */
function result({ language, order }, outcome, why = {}) {
  const { code, detail, request_id } = outcome === "paid" ? {} : why;
  return {
    outcome,
    message: textFor(language, outcome, code),
    mayRetry: mayRetry(outcome, code),
    order,
    code,
    detail,
    requestId: request_id,
  };
}

/** A mistake of ours is not an answer. */
function asRefusal(/** @type {unknown} */ error) {
  if (error instanceof Refusal) return error;
  throw error;
}

module.exports = { check, pay };
