/** Connects: what the payer does and the server says goes to `order.js`, what that decides goes to `view.js`. */

import { connect } from "./api.js";
import { languageFor } from "./copy.js";
import { environment, isPhone } from "./environment.js";
import { STATES, initial, may, nextReadMs, reduce, timeLeft } from "./order.js";
import { createView } from "./view.js";

const order_id = meta("everpaid-order");
const secret = decodeURIComponent(location.pathname.split("/").filter(Boolean).pop() || "");
const api = connect(secret);

const view = createView(document, {
  merchant: meta("everpaid-merchant"),
  simulator_url: webAddress(meta("everpaid-simulator")),
  environment: environment(),
  phone: isPhone(),
  link: location.href.split(/[?#]/)[0],
  language: rememberedLanguage() || languageFor(navigator.language),
  qrAddress: api.qrAddress,
  pay: openPayment,
  confirm: confirmPayment,
  back: () => dispatch({ kind: "back_tapped" }),
  again: readNow,
  languageChosen: rememberLanguage,
});

let state = initial();

function dispatch(event) {
  const before = state;
  state = reduce(before, event);
  if (state === before) return;
  if (state.name !== before.name) startPatience(state.name);
  view.draw(state);
}

// --- What the payer asks for -------------------------------------------------------------------

async function openPayment() {
  if (!may(state, "pay")) return;
  const { id, amount } = state.order;
  dispatch({ kind: "pay_tapped" });
  try {
    let answer = await api.openPayment(id, amount.total);
    newestAnswer = asks; // an order that was read meanwhile may not know this payment
    dispatch({ kind: "payment_told", payment: answer.payment });
    while (state.name === "opening") {
      await pause(answer.retry_after_ms);
      answer = await api.readPayment(answer.payment.id);
      dispatch({ kind: "payment_told", payment: answer.payment });
    }
  } catch (refused) {
    dispatch({ kind: "payment_refused", failure: { code: refused.code, request_id: refused.request_id } });
  }
  readOrder();
}

const CONFIRM_TRIES_MAX = 3;

async function confirmPayment() {
  if (!may(state, "confirm") || !state.payment) return;
  const { id } = state.payment;
  dispatch({ kind: "confirm_tapped" });
  for (let tries = 1; ; tries++) {
    try {
      const { payment } = await api.confirmPayment(id);
      newestAnswer = asks;
      dispatch({ kind: "confirm_answered", payment });
      break;
    } catch (refused) {
      if (refused.status === 429 && tries < CONFIRM_TRIES_MAX) {
        await pause(Math.min(refused.retry_after_ms, 4000));
        continue;
      }
      dispatch({ kind: "confirm_failed" });
      break;
    }
  }
  readOrder();
}

// --- What the server says ----------------------------------------------------------------------

let asks = 0;
let newestAnswer = 0;
let reads = 0;
let nextRead = 0;
let clock = null; // the server's time, and when by our own steady clock we learnt it

async function readOrder() {
  const ask = ++asks;
  clearTimeout(nextRead);
  try {
    const { order, now } = await api.readOrder(order_id);
    if (ask > newestAnswer) {
      newestAnswer = ask;
      clock = { now, at: performance.now() };
      dispatch({ kind: "order_read", order, now });
    }
  } catch (refused) {
    dispatch({ kind: refused.isForTheLink ? "link_refused" : "read_failed" });
  }
  if (STATES[state.name].follows === "never") {
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
  nextRead = setTimeout(readOrder, wait);
}

const LIVE_READ_MS = 20000; // a proxy may hold events back without a word
const EVENTS_AGAIN_MS = 30000;

let live = false;
let stopEvents = null;

function follow() {
  if (stopEvents || !state.order) return;
  stopEvents = api.followOrder(order_id, {
    hint: readOrder,
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

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(nextRead) : readNow()));
addEventListener("pageshow", (event) => event.persisted && readNow());
addEventListener("pagehide", unfollow);
addEventListener("online", readNow);
addEventListener("offline", () => dispatch({ kind: "read_failed" }));

// --- What the clock says -----------------------------------------------------------------------

setInterval(() => {
  if (!clock) return;
  dispatch({ kind: "clock_ticked", now: clock.now + performance.now() - clock.at });
  view.showTimeLeft(timeLeft(state));
}, 500);

let patience = [];

function startPatience(name) {
  patience.forEach(clearTimeout);
  const { slow_ms, patience_ms } = STATES[name];
  patience = [
    slow_ms && setTimeout(() => dispatch({ kind: "grew_slow" }), slow_ms),
    patience_ms && setTimeout(() => dispatch({ kind: "ran_out_of_patience" }), patience_ms),
  ];
}

// --- Small things ------------------------------------------------------------------------------

function meta(name) {
  const element = document.querySelector('meta[name="' + name + '"]');
  return (element && element.content) || "";
}

function webAddress(address) {
  return /^https?:\/\//.test(address) ? address.replace(/\/+$/, "") : "";
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function rememberedLanguage() {
  try {
    const language = localStorage.getItem("everpaid-language");
    return language === "zh" || language === "en" ? language : null;
  } catch (_) {
    return null; // storage may be refused; the browser's language will do
  }
}

function rememberLanguage(language) {
  try {
    localStorage.setItem("everpaid-language", language);
  } catch (_) {
    // not remembered, still switched
  }
}

view.draw(state);
readOrder();
