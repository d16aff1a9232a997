/**
 * Decides what the page shows. Pure: no clock, no network, no document.
 *
 * The server's words are facts; a tap is only a wish. The one road to `paid` is an order
 * whose status the server calls paid, so no tap, payment or lost answer can lead there.
 */

/**
 * @typedef {"pending"|"closing"|"closed"|"paid"|"partially_refunded"|"refunded"} OrderStatus
 * @typedef {"queued"|"created"|"awaiting_payment"|"unknown"|"closing"|"closed"|"failed"|"succeeded"} PaymentStatus
 * @typedef {{total: number, currency: string}} Amount  total is whole fen
 * @typedef {{id: string, order_id: string, method: "native"|"mini_program", status: PaymentStatus,
 *   code_url?: string, code_url_expires_at?: string, failure?: {code: string, message: string},
 *   created_at: string, transaction_id?: string}} Payment
 * @typedef {{id: string, status: OrderStatus, amount: Amount, description: string, created_at: string,
 *   expires_at: string, paid_at: string|null, return_url: string|null, merchant: {name: string},
 *   payment: Payment|null}} Order
 * @typedef {{code: string, message?: string, request_id?: string}} Failure
 *
 * @typedef {object} State
 * @property {StateName} name
 * @property {Order|null} order       as the server last told it
 * @property {Payment|null} payment   the try to pay that we follow
 * @property {number} now             the server's time in ms; 0 until it is known
 * @property {boolean} online         did the last question get an answer
 * @property {boolean} gone           the link opens nothing
 * @property {null|"opening"|"confirming"} doing   what the payer's last tap set going
 * @property {boolean} slow           WeChat Pay is taking its time
 * @property {boolean} doubt          we asked and could not find out
 * @property {Failure|null} failure   why the last try did not work
 * @property {null|"not_yet"|"replaced"} hint
 *
 * @typedef {{kind: "order_read", order: Order, now: number}
 *   | {kind: "read_failed"}
 *   | {kind: "link_refused"}
 *   | {kind: "clock_ticked", now: number}
 *   | {kind: "pay_tapped"}
 *   | {kind: "payment_told", payment: Payment}
 *   | {kind: "payment_refused", failure: Failure}
 *   | {kind: "confirm_tapped"}
 *   | {kind: "confirm_answered", payment: Payment}
 *   | {kind: "confirm_failed"}
 *   | {kind: "back_tapped"}
 *   | {kind: "grew_slow"}
 *   | {kind: "ran_out_of_patience"}} PageEvent
 */

/**
 * Every state of the page, in the order of a life.
 *
 * - `taps`: what the payer may do here; a tap that is not listed changes nothing.
 * - `follows`: how eagerly the order is read again.
 * - `rests`: the payer is told a result, so the focus moves to it.
 * - `slow_ms`, `patience_ms`: when to say that it takes longer, and when to stop saying "please wait".
 */
export const STATES = Object.freeze({
  loading: { taps: [], follows: "closely", rests: false },
  offline: { taps: [], follows: "closely", rests: true },
  ready: { taps: ["pay"], follows: "closely", rests: false },
  opening: { taps: [], follows: "closely", rests: false, slow_ms: 3000, patience_ms: 30000 },
  scan: { taps: ["confirm"], follows: "closely", rests: false },
  qr_expired: { taps: ["pay"], follows: "closely", rests: true },
  confirming: { taps: [], follows: "closely", rests: false, patience_ms: 15000 },
  unclear: { taps: ["confirm", "back"], follows: "closely", rests: true },
  failed: { taps: ["pay"], follows: "closely", rests: true },
  expired: { taps: [], follows: "closely", rests: true },
  closing: { taps: [], follows: "closely", rests: true },
  // A payment that crossed the close can still make it paid, so a closed order is followed too.
  closed: { taps: [], follows: "slowly", rests: true },
  paid: { taps: [], follows: "never", rests: true },
  gone: { taps: [], follows: "never", rests: true },
});

/** @typedef {keyof typeof STATES} StateName */

/** The server opens no payment in the last minute before an order expires. */
export const LAST_CALL_MS = 60000;

/** No answer that was sent earlier undoes a later word. */
const RANK = new Map([
  ["pending", 0],
  ["closing", 1],
  ["closed", 2],
  ["paid", 3],
  ["partially_refunded", 4],
  ["refunded", 5],
]);

/** @returns {State} */
export function initial() {
  return {
    name: "loading",
    order: null,
    payment: null,
    now: 0,
    online: true,
    gone: false,
    doing: null,
    slow: false,
    doubt: false,
    failure: null,
    hint: null,
  };
}

/**
 * @param {State} state
 * @param {PageEvent} event
 * @returns {State} the same object when nothing changed
 */
export function reduce(state, event) {
  const facts = learn(state, event);
  if (facts === state) return state;
  const name = decide(facts);
  return Object.assign({}, facts, { name, slow: facts.slow && name === state.name });
}

/** What the event adds to what is known. */
function learn(state, event) {
  switch (event.kind) {
    case "order_read":
      return learnOrder(state, event.order, event.now);
    case "read_failed":
      return state.online ? having(state, { online: false }) : state;
    case "link_refused":
      return having(state, { gone: true, doing: null });
    case "clock_ticked":
      return having(state, { now: event.now });

    case "pay_tapped":
      if (!may(state, "pay")) return state;
      return having(state, { doing: "opening", failure: null, hint: null });
    case "payment_told":
      return learnPayment(state, event.payment);
    case "payment_refused":
      if (state.doing !== "opening") return state;
      return having(state, { doing: null, failure: event.failure });

    case "confirm_tapped":
      if (!may(state, "confirm")) return state;
      return having(state, { doing: "confirming", doubt: false, hint: null });
    case "confirm_answered":
      return learnAnswer(state, event.payment);
    case "confirm_failed":
      if (state.doing !== "confirming") return state;
      return having(state, { doing: null, doubt: true });
    case "back_tapped":
      if (!may(state, "back")) return state;
      return having(state, { doubt: false });

    case "grew_slow":
      return having(state, { slow: true });
    case "ran_out_of_patience":
      if (state.name === "confirming") return having(state, { doing: null, doubt: true });
      if (state.name === "opening") return having(state, { doing: null, failure: { code: "slow" } });
      return state;
    default:
      return state;
  }
}

function learnOrder(state, order, now) {
  const rank = RANK.get(order.status);
  if (rank === undefined) return having(state, { order: state.order || order, doubt: true, online: true });
  if (state.order && rank < RANK.get(state.order.status)) return having(state, { online: true });

  const payment = order.payment;
  const usable = hasUsableCode(payment, now);
  const replaced =
    state.name === "scan" && (!payment || payment.id !== state.payment.id || payment.status === "closed");
  return having(state, {
    order,
    payment,
    now,
    online: true,
    gone: false,
    doing: state.doing === "opening" && usable ? null : state.doing,
    hint: !replaced ? state.hint : usable ? null : "replaced",
  });
}

/** The answer to opening a payment, or to looking at the one being opened. */
function learnPayment(state, payment) {
  if (!state.order) return state;
  const stillOpening = isLive(payment) && !payment.code_url;
  return having(state, {
    payment,
    online: true,
    doing: stillOpening ? state.doing : null,
    failure: hasUsableCode(payment, state.now) ? null : state.failure,
  });
}

/** The answer to "I have paid": WeChat Pay was asked. */
function learnAnswer(state, payment) {
  if (state.doing !== "confirming") return state;
  const told = { payment, online: true };
  switch (payment.status) {
    case "succeeded":
      return having(state, told); // and the order's own word is awaited
    case "unknown":
    case "closing":
      return having(state, Object.assign(told, { doing: null, doubt: true }));
    case "closed":
    case "failed":
      return having(state, Object.assign(told, { doing: null, hint: "replaced" }));
    default:
      return having(state, Object.assign(told, { doing: null, hint: "not_yet" }));
  }
}

/**
 * Which state follows from what is known; the first line that fits.
 * @param {State} s
 * @returns {StateName}
 */
function decide(s) {
  if (isPaid(s.order)) return "paid";
  if (s.gone) return "gone";
  if (!s.order) return s.online ? "loading" : "offline";
  if (s.order.status === "closed") return "closed";

  if (s.doing === "confirming") return "confirming";
  if (s.doubt) return "unclear";
  if (s.payment && s.payment.status === "succeeded") return "confirming";
  if (s.order.status === "closing") return "closing";

  const left = Date.parse(s.order.expires_at) - s.now;
  if (left <= 0) return "expired";
  if (s.doing === "opening") return "opening";
  if (hasUsableCode(s.payment, s.now)) return "scan";
  if (s.failure) return "failed";
  if (isLive(s.payment)) return s.payment.code_url ? "qr_expired" : "opening";
  if (left <= LAST_CALL_MS) return "expired";
  if (s.payment && s.payment.status === "failed") return "failed";
  return "ready";
}

/** The server's word, and nobody else's. */
export function isPaid(order) {
  return order !== null && RANK.get(order.status) >= RANK.get("paid");
}

/** Is this a QR payment that can still be paid here? */
function isLive(payment) {
  return (
    payment !== null &&
    payment.method === "native" &&
    ["queued", "created", "awaiting_payment", "unknown"].includes(payment.status)
  );
}

function hasUsableCode(payment, now) {
  if (!isLive(payment) || payment.status !== "awaiting_payment" || !payment.code_url) return false;
  return !payment.code_url_expires_at || Date.parse(payment.code_url_expires_at) > now;
}

/** Someone opened this order elsewhere, in a mini-program say: a QR would replace that. */
export function isPaidElsewhere(state) {
  return (
    state.payment !== null &&
    state.payment.method !== "native" &&
    ["created", "awaiting_payment", "unknown"].includes(state.payment.status)
  );
}

/** @param {State} state @param {"pay"|"confirm"|"back"} tap */
export function may(state, tap) {
  return STATES[state.name].taps.includes(tap);
}

/** Why it did not work: our last try's reason, else the payment's own. */
export function failureOf(state) {
  return state.failure || (state.payment && state.payment.failure) || { code: "unknown" };
}

/** Milliseconds until the order expires; null when it is not running. */
export function timeLeft(state) {
  if (!state.order || state.order.status !== "pending" || !state.now) return null;
  return Math.max(0, Date.parse(state.order.expires_at) - state.now);
}

/** Where the shop wants the payer back, if it is a web address. */
export function returnAddress(order) {
  if (!order || !order.return_url) return null;
  try {
    const url = new URL(order.return_url);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch (_) {
    return null;
  }
}

/** How long to wait before reading the order again: 1, 2, 3, then every 5 s; `chance` in [0, 1) spreads them. */
export function nextReadMs(follows, reads, chance) {
  const base = follows === "slowly" ? 30000 : [1000, 2000, 3000, 5000][Math.min(reads, 3)];
  return Math.round(base * (0.8 + 0.4 * chance));
}

function having(state, change) {
  return Object.assign({}, state, change);
}
