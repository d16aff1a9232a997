/**
 * Decides what the page shows. Pure: no clock, no network, no document.
 *
 * The server's words are facts; a tap is only a wish, and what WeChat's cashier says is only a claim.
 * The one road to `paid` is an order whose status the server calls paid, so no tap, payment, claim or
 * lost answer can lead there.
 */

/**
 * @typedef {"pending"|"closing"|"closed"|"paid"|"partially_refunded"|"refunded"} OrderStatus
 * @typedef {"queued"|"created"|"awaiting_payment"|"unknown"|"closing"|"closed"|"failed"|"succeeded"} PaymentStatus
 * @typedef {"native"|"mini_program"} Method  a QR code, or the cashier inside WeChat
 * @typedef {{appId: string, timeStamp: string, nonceStr: string, package: string, signType: string, paySign: string}} CallUp
 * @typedef {{total: number, currency: string}} Amount  total is whole fen
 * @typedef {{id: string, order_id: string, method: Method, status: PaymentStatus, created_at: string,
 *   code_url?: string, code_url_expires_at?: string, call_up?: CallUp, transaction_id?: string,
 *   failure?: Failure}} Payment
 * @typedef {{id: string, status: OrderStatus, amount: Amount, description: string, created_at: string,
 *   expires_at: string, paid_at: string|null, return_url: string|null, merchant: {name: string, support?: string},
 *   payment: Payment|null}} Order
 * @typedef {{code: string, message?: string, request_id?: string}} Failure
 *
 * @typedef {"loading"|"offline"|"ready"|"authorizing"|"opening"|"scan"|"qr_expired"|"calling"|"silent"
 *   |"confirming"|"unclear"|"failed"|"expired"|"closing"|"closed"|"paid"|"gone"} StateName
 * @typedef {"pay"|"qr"|"wechat"|"confirm"|"back"} Tap
 *   pay by this page's own way; by QR code instead; by WeChat's cashier again; "I have paid"; "I have not"
 * @typedef {"authorizing"|"exchanging"|"opening"|"calling"|"confirming"} Doing
 *   leaving for WeChat's login; trading its code for who the payer is; asking the server for a payment;
 *   WeChat's cashier is open; asking the server whether it is paid
 * @typedef {"ok"|"cancel"|"failed"|"denied"|"old"|"missing"} Outcome  what became of WeChat's cashier
 *
 * @typedef {object} State
 * @property {StateName} name
 * @property {boolean} cashier        can this page call up WeChat's cashier?
 * @property {boolean} by_qr          the payer wants the QR code all the same
 * @property {Order|null} order       as the server last told it
 * @property {Payment|null} payment   the try to pay that we follow
 * @property {number} now             the server's time in ms; 0 until it is known
 * @property {boolean} online         did the last question get an answer
 * @property {boolean} gone           the link opens nothing
 * @property {Doing|null} doing       what is going on because of the payer's last tap
 * @property {boolean} authorized     the server knows who the payer is
 * @property {number} authorizations  how often WeChat was asked who it is, since that tap
 * @property {string|null} called     the payment that the cashier was called up for since then
 * @property {boolean} claimed        the cashier says that it was paid
 * @property {boolean} silent         the cashier says nothing for long
 * @property {boolean} slow           WeChat Pay is taking its time
 * @property {boolean} doubt          we asked and could not find out
 * @property {Failure|null} failure   why the last try did not work
 * @property {null|"not_yet"|"replaced"|"cancelled"|"authorize_again"} hint
 *
 * @typedef {{kind: "order_read", order: Order, now: number}
 *   | {kind: "read_failed"}
 *   | {kind: "link_refused"}
 *   | {kind: "clock_ticked", now: number}
 *   | {kind: "pay_tapped"}
 *   | {kind: "qr_tapped"}
 *   | {kind: "wechat_tapped"}
 *   | {kind: "code_arrived", authorizations: number, foreign?: boolean}
 *   | {kind: "authorization_wanted"}
 *   | {kind: "authorized"}
 *   | {kind: "authorization_refused", failure: Failure}
 *   | {kind: "came_back"}
 *   | {kind: "payment_told", payment: Payment}
 *   | {kind: "payment_refused", failure: Failure}
 *   | {kind: "cashier_closed", outcome: Outcome}
 *   | {kind: "confirm_tapped"}
 *   | {kind: "confirm_answered", payment: Payment}
 *   | {kind: "confirm_failed"}
 *   | {kind: "back_tapped"}
 *   | {kind: "grew_slow"}
 *   | {kind: "ran_out_of_patience"}} PageEvent
 *
 * @typedef {object} Rule
 * @property {Tap[]} taps              what the payer may do here; a tap that is not listed changes nothing
 * @property {"closely"|"slowly"|"never"} follows   how eagerly the order is read again
 * @property {boolean} rests           the payer is told a result, so the focus moves to it
 * @property {number=} slow_ms         when to say that it takes longer
 * @property {number=} patience_ms     when to stop saying "please wait"
 */

/**
 * Every state of the page, in the order of a life.
 * @type {Readonly<Record<StateName, Rule>>}
 */
export const STATES = Object.freeze({
  loading: { taps: [], follows: "closely", rests: false },
  offline: { taps: [], follows: "closely", rests: true },
  ready: { taps: ["pay", "qr", "wechat"], follows: "closely", rests: false },
  authorizing: { taps: [], follows: "closely", rests: false, patience_ms: 20000 },
  opening: { taps: [], follows: "closely", rests: false, slow_ms: 3000, patience_ms: 30000 },
  scan: { taps: ["confirm", "wechat"], follows: "closely", rests: false },
  qr_expired: { taps: ["pay", "wechat"], follows: "closely", rests: true },
  calling: { taps: [], follows: "closely", rests: false, patience_ms: 12000 },
  silent: { taps: ["confirm", "pay", "qr"], follows: "closely", rests: true },
  confirming: { taps: [], follows: "closely", rests: false, patience_ms: 15000 },
  unclear: { taps: ["confirm", "back"], follows: "closely", rests: true },
  failed: { taps: ["pay", "qr", "wechat"], follows: "closely", rests: true },
  expired: { taps: [], follows: "closely", rests: true },
  closing: { taps: [], follows: "closely", rests: true },
  // A payment that crossed the close can still make it paid, so a closed order is followed too.
  closed: { taps: [], follows: "slowly", rests: true },
  paid: { taps: [], follows: "never", rests: true },
  gone: { taps: [], follows: "never", rests: true },
});

/** The server opens no payment in the last minute before an order expires. */
export const LAST_CALL_MS = 60000;

/** Once for the tap, and once more when the code was worth nothing; a third time would be a loop. */
export const AUTHORIZATIONS_MAX = 2;

/**
 * No answer that was sent earlier undoes a later word.
 * @type {Map<OrderStatus, number>}
 */
const RANK = new Map([
  ["pending", 0],
  ["closing", 1],
  ["closed", 2],
  ["paid", 3],
  ["partially_refunded", 4],
  ["refunded", 5],
]);

/**
 * @param {{cashier?: boolean, authorized?: boolean}=} place  `cashier`: the page is in WeChat's browser, with
 *   an app to pay with; `authorized`: this tab remembers who pays
 * @returns {State}
 */
export function initial({ cashier = false, authorized = false } = {}) {
  return {
    name: "loading",
    cashier,
    by_qr: false,
    order: null,
    payment: null,
    now: 0,
    online: true,
    gone: false,
    doing: null,
    authorized,
    authorizations: 0,
    called: null,
    claimed: false,
    silent: false,
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

/**
 * What the event adds to what is known.
 * @param {State} state
 * @param {PageEvent} event
 * @returns {State}
 */
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
      return may(state, "pay") ? begin(state) : state;
    case "qr_tapped":
      return may(state, "qr") ? begin(having(state, { by_qr: true })) : state;
    case "wechat_tapped":
      return may(state, "wechat") ? begin(having(state, { by_qr: false })) : state;

    case "authorization_wanted":
      if (state.name !== "ready" || way(state) !== "mini_program" || state.authorized) return state;
      return having(state, { doing: "authorizing", authorizations: 0 });
    case "code_arrived":
      if (!state.cashier || !state.order || state.order.status !== "pending" || state.doing) return state;
      if (event.foreign) return state.authorized ? state : having(state, { hint: "authorize_again" });
      return having(state, { doing: "exchanging", authorizations: event.authorizations });
    case "authorized":
      if (state.doing !== "exchanging") return having(state, { authorized: true });
      // Nobody tapped on this page: whoever only looks opens nothing.
      return having(state, { authorized: true, doing: state.authorizations > 0 ? "opening" : null });
    case "authorization_refused":
      return learnRefusedAuthorization(state, event.failure);
    case "came_back":
      return state.doing === "authorizing" ? having(state, { doing: null }) : state;

    case "payment_told":
      return learnPayment(state, event.payment);
    case "payment_refused":
      return learnRefusedPayment(state, event.failure);

    case "cashier_closed":
      return learnOutcome(state, event.outcome);

    case "confirm_tapped":
      if (!may(state, "confirm")) return state;
      return having(state, { doing: "confirming", doubt: false, silent: false, hint: null });
    case "confirm_answered":
      return learnAnswer(state, event.payment);
    case "confirm_failed":
      if (state.doing !== "confirming") return state;
      return having(state, { doing: null, doubt: true });
    case "back_tapped":
      if (!may(state, "back")) return state;
      return having(state, { doubt: false, claimed: false });

    case "grew_slow":
      return having(state, { slow: true });
    case "ran_out_of_patience":
      if (state.name === "confirming") return having(state, { doing: null, doubt: true });
      if (state.name === "calling") return having(state, { silent: true });
      if (state.name === "authorizing" && state.authorizations === 0) return having(state, { doing: null });
      if (state.name === "opening" || state.name === "authorizing") {
        return having(state, { doing: null, failure: { code: "slow" } });
      }
      return state;
    default:
      return state;
  }
}

/**
 * A tap that asks for a payment. Inside WeChat the server has to know first who pays.
 * @param {State} state
 */
function begin(state) {
  const isKnown = way(state) === "native" || state.authorized;
  return having(state, {
    doing: isKnown ? "opening" : "authorizing",
    authorizations: isKnown ? 0 : 1,
    called: null,
    claimed: false,
    silent: false,
    failure: null,
    hint: null,
  });
}

/**
 * @param {State} state
 * @param {Order} order
 * @param {number} now
 */
function learnOrder(state, order, now) {
  const rank = RANK.get(order.status);
  if (rank === undefined) return having(state, { order: state.order || order, doubt: true, online: true });
  if (state.order && rank < /** @type {number} */ (RANK.get(state.order.status))) return having(state, { online: true });

  const payment = order.payment;
  const usable = hasUsableCode(payment, now);
  const replaced =
    state.name === "scan" && (!payment || !state.payment || payment.id !== state.payment.id || payment.status === "closed");
  return having(state, {
    order,
    payment,
    now,
    online: true,
    gone: false,
    // The call-up parameters that another person asked for would be in the order too: only the answer
    // to our own question opens the cashier.
    doing: state.doing === "opening" && usable && way(state) === "native" ? null : state.doing,
    hint: !replaced ? state.hint : usable ? null : "replaced",
  });
}

/**
 * Nobody knows who the payer is. If that is because the code was worth nothing, WeChat is asked once more, for
 * whoever tapped; who did not is told to.
 * @param {State} state
 * @param {Failure} failure
 */
function learnRefusedAuthorization(state, failure) {
  if (state.doing !== "exchanging") return state;
  // In a preview no tap helps either.
  const isUnasked = state.authorizations === 0 && failure.code !== "snapshot_user";
  if (isUnasked) return having(state, { doing: null, hint: "authorize_again" });
  if (failure.code !== "authorization_expired") return having(state, { doing: null, failure });
  return authorizeOnceMore(state, failure);
}

/**
 * @param {State} state
 * @param {Failure} failure
 */
function authorizeOnceMore(state, failure) {
  if (state.authorizations >= AUTHORIZATIONS_MAX) return having(state, { doing: null, failure });
  return having(state, { doing: "authorizing", authorizations: state.authorizations + 1 });
}

/**
 * The answer to opening a payment, or to looking at the one being opened.
 * @param {State} state
 * @param {Payment} payment
 */
function learnPayment(state, payment) {
  if (!state.order) return state;
  const told = { payment, online: true, failure: hasUsableCode(payment, state.now) ? null : state.failure };
  if (state.doing !== "opening") return having(state, told);
  if (way(state) === "mini_program" && payment.call_up) {
    return having(state, told, { doing: "calling", called: payment.id });
  }
  const isComing = payment.method === way(state) && isLive(payment) && !payment.code_url;
  return having(state, told, { doing: isComing ? "opening" : null });
}

/**
 * @param {State} state
 * @param {Failure} failure
 */
function learnRefusedPayment(state, failure) {
  if (state.doing !== "opening") return state;
  const isForThePayer = failure.code === "openid_not_verified" || failure.code === "openid_required";
  if (isForThePayer && way(state) === "mini_program") {
    return authorizeOnceMore(having(state, { authorized: false }), failure);
  }
  return having(state, { doing: null, failure });
}

/**
 * The cashier was closed. Not even `ok` proves anything; whatever else it says, nothing more is claimed.
 * @param {State} state
 * @param {Outcome} outcome
 */
function learnOutcome(state, outcome) {
  if (!state.called) return state;
  if (outcome === "ok") {
    return having(state, { doing: "confirming", claimed: true, doubt: false, silent: false, failure: null, hint: null });
  }
  if (state.doing !== "calling") return state;
  const told = { doing: null, silent: false };
  if (outcome === "cancel") return having(state, told, { hint: "cancelled" });
  return having(state, told, { failure: { code: "cashier_" + outcome } });
}

/**
 * The answer to "I have paid": WeChat Pay was asked.
 * @param {State} state
 * @param {Payment} payment
 */
function learnAnswer(state, payment) {
  if (state.doing !== "confirming") return state;
  const told = { payment, online: true };
  switch (payment.status) {
    case "succeeded":
      return having(state, told); // and the order's own word is awaited
    case "unknown":
    case "closing":
      return having(state, told, { doing: null, doubt: true });
    case "closed":
    case "failed":
      // The cashier said that this one was paid: somebody is wrong, and the payer must not pay again.
      if (state.claimed) return having(state, told, { doing: null, doubt: true });
      return having(state, told, { doing: null, hint: "replaced" });
    default:
      // WeChat Pay may know a moment later than the cashier: it is asked again until patience ends.
      if (state.claimed) return having(state, told);
      return having(state, told, { doing: null, hint: "not_yet" });
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
  if (s.doing === "authorizing" || s.doing === "exchanging") return "authorizing";
  if (s.doing === "opening") return "opening";
  if (s.doing === "calling") return s.silent ? "silent" : "calling";

  const shows = way(s) === "native" && s.payment !== null && s.payment.method === "native" && isLive(s.payment);
  if (shows && hasUsableCode(s.payment, s.now)) return "scan";
  if (s.failure) return "failed";
  if (shows) return /** @type {Payment} */ (s.payment).code_url ? "qr_expired" : "opening";
  if (left <= LAST_CALL_MS) return "expired";
  if (s.payment && s.payment.status === "failed") return "failed";
  return "ready";
}

/**
 * How this page pays: inside WeChat by its cashier, everywhere else by QR code.
 * @param {State} state
 * @returns {Method}
 */
export function way(state) {
  return state.cashier && !state.by_qr ? "mini_program" : "native";
}

/**
 * The server's word, and nobody else's.
 * @param {Order|null} order
 */
export function isPaid(order) {
  return order !== null && (RANK.get(order.status) || 0) >= /** @type {number} */ (RANK.get("paid"));
}

/**
 * Is this a payment that can still be paid, or will be?
 * @param {Payment|null} payment
 */
function isLive(payment) {
  return payment !== null && ["queued", "created", "awaiting_payment", "unknown"].includes(payment.status);
}

/**
 * @param {Payment|null} payment
 * @param {number} now
 */
function hasUsableCode(payment, now) {
  if (!payment || payment.method !== "native" || payment.status !== "awaiting_payment" || !payment.code_url) return false;
  return !payment.code_url_expires_at || Date.parse(payment.code_url_expires_at) > now;
}

/**
 * Someone opened this order in another way, in a mini-program or on a desktop say: ours would replace that.
 * @param {State} state
 */
export function isPaidElsewhere(state) {
  const { payment } = state;
  return payment !== null && payment.method !== way(state) && ["created", "awaiting_payment", "unknown"].includes(payment.status);
}

/**
 * @param {State} state
 * @param {Tap} tap
 */
export function may(state, tap) {
  if (!STATES[state.name].taps.includes(tap)) return false;
  if (tap === "qr") return way(state) === "mini_program";
  if (tap === "wechat") return state.cashier && state.by_qr;
  if (tap === "confirm") return inQuestion(state) !== null;
  return true;
}

/**
 * The payment to ask about: the one that the cashier was called up for, else the one that we follow.
 * @param {State} state
 */
export function inQuestion(state) {
  return state.called || (state.payment && state.payment.id);
}

/**
 * What WeChat's bridge answered, in our words. Only these words mean anything; every other one, and
 * every `fail` with whatever behind it, is a failure.
 * @param {string} err_msg
 * @returns {Outcome}
 */
export function outcomeOf(err_msg) {
  switch (err_msg) {
    case "get_brand_wcpay_request:ok":
      return "ok";
    case "get_brand_wcpay_request:cancel":
      return "cancel";
    case "system:access_denied":
      return "denied";
    case "system:function_not_exist":
      return "old";
    case "":
      return "missing";
    default:
      return "failed";
  }
}

/**
 * Why it did not work: our last try's reason, else the payment's own.
 * @param {State} state
 * @returns {Failure}
 */
export function failureOf(state) {
  return state.failure || (state.payment && state.payment.failure) || { code: "unknown" };
}

/**
 * Milliseconds until the order expires; null when it is not running.
 * @param {State} state
 */
export function timeLeft(state) {
  if (!state.order || state.order.status !== "pending" || !state.now) return null;
  return Math.max(0, Date.parse(state.order.expires_at) - state.now);
}

/**
 * Where the shop wants the payer back, if it is a web address.
 * @param {Order|null} order
 */
export function returnAddress(order) {
  if (!order || !order.return_url) return null;
  try {
    const url = new URL(order.return_url);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch (_) {
    return null;
  }
}

/**
 * How long to wait before reading the order again: 1, 2, 3, then every 5 s; `chance` in [0, 1) spreads them.
 * @param {Rule["follows"]} follows
 * @param {number} reads
 * @param {number} chance
 */
export function nextReadMs(follows, reads, chance) {
  const base = follows === "slowly" ? 30000 : [1000, 2000, 3000, 5000][Math.min(reads, 3)];
  return Math.round(base * (0.8 + 0.4 * chance));
}

/**
 * @param {State} state
 * @param {Partial<State>[]} changes
 * @returns {State}
 */
function having(state, ...changes) {
  return Object.assign({}, state, ...changes);
}
