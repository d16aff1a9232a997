/**
 * Pay an everpaid order from any page, the shop's own too:
 *
 *     import { openCheckout } from "{public_url}/checkout/everpaid.js";
 *     const checkout = openCheckout({ client_secret, app_id, onChange: draw, onPaid: thank });
 *     button.onclick = checkout.pay;
 *
 * It reads and follows the order, knows inside WeChat who pays, opens payments on a tap, calls up WeChat's
 * cashier, and asks the server whether it is paid. What the page is to show is `checkout.state`; `order.js`
 * decides it. It draws nothing.
 */

import { Refusal, connect, orderOf } from "./api.js";
import { authorization } from "./authorization.js";
import { callUp } from "./bridge.js";
import { isWeChat } from "./environment.js";
import { STATES, inQuestion, initial, nextReadMs, outcomeOf, reduce, timeLeft, way } from "./order.js";

export { environment, isPhone, isWeChat } from "./environment.js";
export { STATES, failureOf, isPaid, may, returnAddress, way } from "./order.js";

/**
 * @typedef {import("./order.js").State} State
 * @typedef {import("./order.js").PageEvent} PageEvent
 * @typedef {import("./order.js").Doing} Doing
 *
 * @typedef {object} Options
 * @property {string} client_secret  the order's, from the answer to `POST /v1/orders`
 * @property {string=} app_id  the official account (公众号) that pays inside WeChat; without it there is the QR code only
 * @property {boolean=} authorize_at_once  inside WeChat, learn who pays before the payer taps: the page leaves for WeChat's
 *   silent login as soon as it has read the order, and comes back. Otherwise the first tap does it
 * @property {string=} api_url  where everpaid is; by default where this file is from
 * @property {(state: State) => void=} onChange  after every change
 * @property {(ms: number|null) => void=} onTick  twice a second: the time left, null when there is none
 * @property {(order: import("./order.js").Order) => void=} onPaid  once, when the server says that it is paid
 */

const EXCHANGE_TRIES_MAX = 4;
const CONFIRM_AGAIN_MS = 2000;
const LIVE_READ_MS = 20000; // a proxy may hold events back without a word
const EVENTS_AGAIN_MS = 30000;
const TICK_MS = 500;

/** @param {Options} options */
export function openCheckout(options) {
  const { client_secret, app_id = "", authorize_at_once = false, onChange, onTick, onPaid } = options;
  const api_url = (options.api_url || new URL(import.meta.url).origin).replace(/\/+$/, "");
  const api = connect(api_url, client_secret);
  const payer = authorization({ api_url, client_secret, order_id: orderOf(client_secret), app_id });

  let isOver = false;
  let arrived = payer.arrival();
  let openid = payer.openid();
  let wantsAuthorization = authorize_at_once && !arrived && payer.mayAskAtOnce();
  let state = initial({ cashier: isWeChat() && app_id !== "", authorized: openid !== "" });

  /** @type {Record<Doing, () => void>} */
  const ACTS = {
    authorizing: () => payer.leave(state.authorizations),
    exchanging: exchange,
    opening: openPayment,
    calling: openCashier,
    confirming: confirmPayment,
  };

  /** @param {PageEvent} event */
  function dispatch(event) {
    if (isOver) return;
    const before = state;
    state = reduce(before, event);
    if (state === before) return;
    if (state.name !== before.name) startPatience();
    // First what the payer waits for, then how it looks meanwhile. No act changes the state before it returns.
    if (state.doing && state.doing !== before.doing) ACTS[state.doing]();
    if (onChange) onChange(state);
    if (state.name === "paid" && before.name !== "paid" && onPaid && state.order) onPaid(state.order);
  }

  // --- What the payer asks for -----------------------------------------------------------------

  async function exchange() {
    const arrival = arrived;
    arrived = null;
    if (!arrival) return;
    for (let tries = 1; ; tries++) {
      try {
        const told = await api.exchange({ code: arrival.code, state: arrival.state });
        openid = told.openid;
        payer.remember(openid);
        payer.settled();
        return dispatch({ kind: "authorized" });
      } catch (error) {
        // The same code is good for another try while nobody has said what it is worth.
        const isUndecided = error instanceof Refusal && (error.status === 0 || error.status === 503);
        if (!isUndecided || tries >= EXCHANGE_TRIES_MAX || state.doing !== "exchanging" || isOver) {
          payer.settled();
          return dispatch({ kind: "authorization_refused", failure: failure(error) });
        }
        await pause(error.retry_after_ms);
      }
    }
  }

  let openings = 0;
  /** Ends the wait for a payment that is being opened. @type {(told?: unknown) => void} */
  let wake = () => {};

  async function openPayment() {
    const { order } = state;
    if (!order) return;
    const mine = ++openings; // the answers to an earlier tap mean nothing any more
    try {
      let answer = await api.openPayment(wanted(), order.amount.total);
      while (mine === openings) {
        newestAnswer = asks; // an order that was read meanwhile may not know this payment
        dispatch({ kind: "payment_told", payment: answer.payment });
        if (state.doing !== "opening") break;
        await Promise.race([pause(answer.retry_after_ms), new Promise((told) => (wake = told))]);
        if (mine !== openings) return;
        answer = await api.readPayment(answer.payment.id);
      }
    } catch (error) {
      const told = failure(error);
      if (told.code === "openid_not_verified") payer.forget();
      if (mine === openings) dispatch({ kind: "payment_refused", failure: told });
    }
    readOrder();
  }

  /** @returns {import("./api.js").Wanted} */
  function wanted() {
    return way(state) === "native" ? { method: "native" } : { method: "mini_program", app_id, openid };
  }

  async function openCashier() {
    const { payment } = state;
    if (!payment || !payment.call_up) return;
    const outcome = outcomeOf(await callUp(payment.call_up));
    dispatch({ kind: "cashier_closed", outcome });
    if (outcome === "ok") return;
    // Some who are told to have cancelled have paid: the server is to look all the same.
    await api.confirmPayment(payment.id).catch(() => {});
    readOrder();
  }

  async function confirmPayment() {
    const id = inQuestion(state);
    while (id && state.doing === "confirming" && !isOver) {
      try {
        const { payment } = await api.confirmPayment(id);
        newestAnswer = asks;
        dispatch({ kind: "confirm_answered", payment });
        await readOrder();
        if (payment.status === "succeeded") break; // the order is followed until it says so too
        if (state.doing === "confirming") await pause(CONFIRM_AGAIN_MS);
      } catch (error) {
        // An api that restarts answers again before the payer's patience ends; a no is a no.
        if (!(error instanceof Refusal && error.passes)) {
          dispatch({ kind: "confirm_failed" });
          break;
        }
        await pause(CONFIRM_AGAIN_MS);
      }
    }
    readOrder();
  }

  // --- What the server says --------------------------------------------------------------------

  let asks = 0;
  let newestAnswer = 0;
  let reads = 0;
  /** @type {number|undefined} */
  let nextRead;
  /** The server's time, and when by our own steady clock we learnt it. @type {{now: number, at: number}|null} */
  let clock = null;

  async function readOrder() {
    if (isOver) return;
    const ask = ++asks;
    clearTimeout(nextRead);
    try {
      const { order, now } = await api.readOrder();
      if (ask > newestAnswer) {
        newestAnswer = ask;
        clock = { now, at: performance.now() };
        dispatch({ kind: "order_read", order, now });
      }
      if (arrived) dispatch({ kind: "code_arrived", authorizations: arrived.authorizations, foreign: arrived.foreign });
      if (arrived && arrived.foreign) arrived = null;
      if (wantsAuthorization) dispatch({ kind: "authorization_wanted" });
      wantsAuthorization = false;
    } catch (error) {
      dispatch({ kind: error instanceof Refusal && error.isForTheLink ? "link_refused" : "read_failed" });
    }
    if (STATES[state.name].follows === "never" || isOver) {
      unfollow();
    } else {
      follow();
      scheduleRead();
    }
  }

  /** Seldom while the server tells us by itself; not at all while nobody looks. */
  function scheduleRead() {
    clearTimeout(nextRead);
    if (document.hidden) return;
    const wait = live ? LIVE_READ_MS : nextReadMs(STATES[state.name].follows, reads++, Math.random());
    nextRead = window.setTimeout(readOrder, wait);
  }

  let live = false;
  /** @type {(() => void)|null} */
  let stopEvents = null;

  function follow() {
    if (stopEvents || !state.order) return;
    stopEvents = api.followOrder({
      hint() {
        wake();
        readOrder();
      },
      heard(isLive, isOver) {
        if (isOver) setTimeout(unfollow, EVENTS_AGAIN_MS);
        if (live === isLive) return;
        live = isLive;
        readNow();
      },
    });
  }

  function unfollow() {
    if (stopEvents) stopEvents();
    stopEvents = null;
    live = false;
  }

  function readNow() {
    reads = 0;
    if (STATES[state.name].follows !== "never") readOrder();
  }

  /** @type {[Window|Document, string, (event: any) => void][]} */
  const HEARD = [
    [document, "visibilitychange", () => (document.hidden ? clearTimeout(nextRead) : readNow())],
    [window, "pageshow", (event) => event.persisted && comeBack()],
    [window, "pagehide", unfollow],
    [window, "online", readNow],
    [window, "offline", () => dispatch({ kind: "read_failed" })],
  ];
  for (const [target, name, act] of HEARD) target.addEventListener(name, act);

  /** The payer went back instead of on. */
  function comeBack() {
    dispatch({ kind: "came_back" });
    readNow();
  }

  // --- What the clock says ---------------------------------------------------------------------

  const ticking = setInterval(() => {
    if (!clock) return;
    dispatch({ kind: "clock_ticked", now: clock.now + performance.now() - clock.at });
    if (onTick) onTick(timeLeft(state));
  }, TICK_MS);

  /** @type {number[]} */
  let patience = [];

  function startPatience() {
    patience.forEach(clearTimeout);
    const { slow_ms, patience_ms } = STATES[state.name];
    patience = [];
    if (slow_ms) patience.push(window.setTimeout(() => dispatch({ kind: "grew_slow" }), slow_ms));
    if (patience_ms) patience.push(window.setTimeout(() => dispatch({ kind: "ran_out_of_patience" }), patience_ms));
  }

  readOrder();

  return {
    get state() {
      return state;
    },

    /** Each of these is a tap of the payer's: `may(state, …)` says which of them means something now. */
    pay: () => dispatch({ kind: "pay_tapped" }),
    qr: () => dispatch({ kind: "qr_tapped" }),
    wechat: () => dispatch({ kind: "wechat_tapped" }),
    confirm: () => dispatch({ kind: "confirm_tapped" }),
    back: () => dispatch({ kind: "back_tapped" }),

    /** Reads the order now. */
    again: readNow,

    /** The address of a payment's QR code, an image; another one for every code. */
    qrAddress: api.qrAddress,

    /** Stops everything; what was opened stays open. */
    close() {
      isOver = true;
      openings += 1;
      unfollow();
      clearInterval(ticking);
      clearTimeout(nextRead);
      patience.forEach(clearTimeout);
      for (const [target, name, act] of HEARD) target.removeEventListener(name, act);
    },
  };
}

/** @param {unknown} error @returns {import("./order.js").Failure} */
function failure(error) {
  return error instanceof Refusal ? { code: error.code, request_id: error.request_id } : { code: "unknown" };
}

/** @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
