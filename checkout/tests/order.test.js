import assert from "node:assert/strict";
import { test } from "node:test";

import {
  AUTHORIZATIONS_MAX,
  LAST_CALL_MS,
  STATES,
  failureOf,
  initial,
  isPaidElsewhere,
  may,
  nextReadMs,
  reduce,
  returnAddress,
  timeLeft,
  way,
} from "../order.js";

const NOW = Date.parse("2026-11-22T06:00:00Z");
const EXPIRES = NOW + 3600000;
const at = (ms) => new Date(ms).toISOString();

const order = (status = "pending", payment = null) => ({
  id: "ord_1",
  status,
  amount: { total: 3990, currency: "CNY" },
  description: "tea",
  created_at: at(NOW),
  expires_at: at(EXPIRES),
  paid_at: null,
  return_url: null,
  merchant: { name: "shop" },
  payment,
});

const payment = (status, more) => ({
  id: "pay_1",
  order_id: "ord_1",
  method: "native",
  status,
  created_at: at(NOW),
  ...more,
});

const CODE = { code_url: "weixin://wxpay/bizpayurl?pr=a", code_url_expires_at: at(NOW + 600000) };
const SCANNABLE = payment("awaiting_payment", CODE);
const STALE = payment("awaiting_payment", { ...CODE, code_url_expires_at: at(NOW - 1) });

const read = (o, now = NOW) => ({ kind: "order_read", order: o, now });
const told = (p) => ({ kind: "payment_told", payment: p });
const answered = (p) => ({ kind: "confirm_answered", payment: p });
const tick = (now) => ({ kind: "clock_ticked", now });
const refused = (code) => ({ kind: "payment_refused", failure: { code } });
const [PAY, CONFIRM, BACK] = ["pay_tapped", "confirm_tapped", "back_tapped"].map((kind) => ({ kind }));
const [LOST, GONE, CONFIRM_FAILED] = ["read_failed", "link_refused", "confirm_failed"].map((kind) => ({ kind }));
const [SLOW, IMPATIENT] = ["grew_slow", "ran_out_of_patience"].map((kind) => ({ kind }));

function check(name, events, expected) {
  test(name, () => {
    const names = [];
    events.reduce((state, event) => {
      const next = reduce(state, event);
      names.push(next.name);
      return next;
    }, initial());
    assert.equal(names.join(" → "), expected);
  });
}

check("a tap opens a payment, and only the server's word makes it paid",
  [read(order()), PAY, told(SCANNABLE), CONFIRM, answered(payment("succeeded")), read(order("paid"))],
  "ready → opening → scan → confirming → confirming → paid");
check("looking at a live payment shows its code", [read(order("pending", SCANNABLE))], "scan");
check("a payment without a code yet is waited for",
  [read(order()), PAY, told(payment("queued")), told(payment("created")), told(SCANNABLE)],
  "ready → opening → opening → opening → scan");
check("an order read while the payment is opened does not undo the tap",
  [read(order()), PAY, read(order()), told(SCANNABLE)], "ready → opening → opening → scan");
check("a payment seen in the order ends the wait too",
  [read(order()), PAY, read(order("pending", SCANNABLE))], "ready → opening → scan");
check("a second tap is not a second payment", [read(order()), PAY, PAY], "ready → opening → opening");
check("slow is said, then a safe retry is offered, and a code that comes late is shown",
  [read(order()), PAY, told(payment("unknown")), SLOW, IMPATIENT, read(order("pending", SCANNABLE))],
  "ready → opening → opening → opening → failed → scan");
check("a refusal can be tried again", [read(order()), PAY, refused("payment_in_progress"), PAY],
  "ready → opening → failed → opening");
check("a payment WeChat refused can be tried again", [read(order("pending", payment("failed"))), PAY], "failed → opening");
check("an old code is refreshed by a tap", [read(order("pending", STALE)), PAY, told(SCANNABLE)],
  "qr_expired → opening → scan");
check("a code grows old on the screen", [read(order("pending", SCANNABLE)), tick(NOW + 600000)], "scan → qr_expired");
check("not paid yet goes back to the code",
  [read(order("pending", SCANNABLE)), CONFIRM, answered(SCANNABLE)], "scan → confirming → scan");
check("no answer is unclear, not unpaid",
  [read(order("pending", SCANNABLE)), CONFIRM, CONFIRM_FAILED, read(order("pending", SCANNABLE)), CONFIRM],
  "scan → confirming → unclear → unclear → confirming");
check("unclear is no dead end: the same code can be shown again",
  [read(order("pending", SCANNABLE)), CONFIRM, CONFIRM_FAILED, BACK], "scan → confirming → unclear → scan");
check("a succeeded payment whose order is not told paid in time is unclear",
  [read(order("pending", payment("succeeded"))), IMPATIENT, read(order("paid"))], "confirming → unclear → paid");
check("a payment replaced from another device shows a button",
  [read(order("pending", SCANNABLE)), read(order("pending", payment("awaiting_payment", { id: "pay_2", method: "mini_program" })))],
  "scan → ready");
check("the last minute opens no payment but keeps the code",
  [read(order(), EXPIRES - LAST_CALL_MS)], "expired");
check("time runs out by the server's clock", [read(order()), tick(EXPIRES)], "ready → expired");
check("a payment that crossed the close is still believed", [read(order("closing")), read(order("closed")), read(order("paid"))],
  "closing → closed → paid");
check("an answer sent earlier does not unpay", [read(order("paid")), read(order("pending", SCANNABLE)), tick(EXPIRES + 1), GONE],
  "paid → paid → paid → paid");
check("a refund stays a receipt", [read(order("paid")), read(order("partially_refunded")), read(order("refunded"))],
  "paid → paid → paid");
check("a wrong link", [GONE], "gone");
check("no network on arrival", [LOST, read(order())], "offline → ready");
check("no network later keeps the code on the screen", [read(order("pending", SCANNABLE)), LOST], "scan → scan");
check("a status we do not know is never guessed", [read(order("splendid"))], "unclear");

test("what is shown beside the state", () => {
  const ready = reduce(initial(), read(order()));
  assert.equal(timeLeft(ready), 3600000);
  assert.equal(timeLeft(reduce(ready, read(order("paid")))), null);

  const notYet = [read(order("pending", SCANNABLE)), CONFIRM, answered(SCANNABLE)].reduce(reduce, initial());
  assert.equal(notYet.hint, "not_yet");
  assert.equal(reduce(notYet, CONFIRM).hint, null);

  const lost = reduce(reduce(initial(), read(order("pending", SCANNABLE))), LOST);
  assert.equal(lost.online, false);
  assert.equal(reduce(lost, read(order("pending", SCANNABLE))).online, true);

  const refusedByWechat = reduce(initial(), read(order("pending", payment("failed", { failure: { code: "NO_AUTH", message: "no" } }))));
  assert.equal(failureOf(refusedByWechat).code, "NO_AUTH");

  const mini = reduce(initial(), read(order("pending", payment("awaiting_payment", { method: "mini_program" }))));
  assert.equal(mini.name, "ready");
  assert.ok(isPaidElsewhere(mini));

  const slow = [read(order()), PAY, SLOW].reduce(reduce, initial());
  assert.ok(slow.slow);
  assert.ok(!reduce(slow, told(SCANNABLE)).slow);
});

test("only web addresses lead back to the shop", () => {
  const to = (return_url) => returnAddress({ ...order("paid"), return_url });
  assert.equal(to("https://shop.example/a?b=1"), "https://shop.example/a?b=1");
  assert.equal(to("http://127.0.0.1:8703/"), "http://127.0.0.1:8703/");
  for (const bad of [null, "", "javascript:alert(1)", "data:text/html,x", "//evil.example", "weixin://x", "not a url"]) {
    assert.equal(to(bad), null, String(bad));
  }
});

test("the order is read again after 1, 2, 3, 5, 5 s, give or take a fifth", () => {
  assert.deepEqual([0, 1, 2, 3, 9].map((reads) => nextReadMs("closely", reads, 0.5)), [1000, 2000, 3000, 5000, 5000]);
  assert.deepEqual([nextReadMs("closely", 0, 0), nextReadMs("closely", 0, 1)], [800, 1200]);
  assert.equal(nextReadMs("slowly", 0, 0.5), 30000);
});

// --- Every event in every state the page can reach ---------------------------------------------

const PAYMENTS = [
  ...["created", "unknown", "closing", "closed", "failed", "succeeded"].map((status) => payment(status)),
  SCANNABLE,
  STALE,
  payment("awaiting_payment", { id: "pay_2", method: "mini_program" }),
];
const WITHOUT_THE_WORD = [
  ...["pending", "closing", "closed"].flatMap((status) => [null, ...PAYMENTS].map((p) => read(order(status, p)))),
  read(order("splendid")),
  ...[NOW, EXPIRES - LAST_CALL_MS, EXPIRES].map(tick),
  ...PAYMENTS.flatMap((p) => [told(p), answered(p)]),
  refused("network"),
  ...[PAY, CONFIRM, BACK, LOST, GONE, CONFIRM_FAILED, SLOW, IMPATIENT],
  { kind: "no_such_event" },
];

const MINE = payment("awaiting_payment", { id: "pay_3", method: "mini_program", call_up: { package: "prepay_id=wx1" } });
const [QR, WECHAT, CAME_BACK, AUTHORIZED, LOGIN] =
  ["qr_tapped", "wechat_tapped", "came_back", "authorized", "authorization_wanted"].map((kind) => ({ kind }));

/** The same inside WeChat, where more can happen: fewer payments and times, or the walk takes minutes. */
const WITHOUT_THE_WORD_IN_WECHAT = [
  ...[null, MINE, SCANNABLE, payment("succeeded")].map((p) => read(order("pending", p))),
  read(order("closed")),
  tick(EXPIRES),
  ...[MINE, SCANNABLE, payment("created", { method: "mini_program" })].map(told),
  ...[MINE, ...["unknown", "closed", "succeeded"].map((status) => payment(status))].map(answered),
  ...["network", "openid_not_verified"].map(refused),
  ...["authorization_expired", "snapshot_user"].map((code) => ({ kind: "authorization_refused", failure: { code } })),
  ...[0, 1].map((authorizations) => ({ kind: "code_arrived", authorizations })),
  ...["ok", "cancel", "failed"].map((outcome) => ({ kind: "cashier_closed", outcome })),
  ...[PAY, QR, WECHAT, CONFIRM, BACK, CONFIRM_FAILED, IMPATIENT, CAME_BACK, AUTHORIZED, LOGIN],
];

/** Two states are one when they decide alike: by nothing in a reason, a hint or the payment inside the order. */
function likeness(state) {
  const { order: o, payment: p, failure, hint, slow, ...rest } = state;
  return [o && o.status, p && [p.id, p.status, p.code_url_expires_at].join(), !failure, ...Object.values(rest)].join("|");
}

/** Every state to be reached from this one. */
function walk(start, events) {
  const reached = new Map();
  const waiting = [start];
  while (waiting.length > 0) {
    const state = waiting.pop();
    for (const event of events) {
      const next = reduce(state, event);
      const key = likeness(next);
      if (reached.has(key)) continue;
      reached.set(key, next);
      waiting.push(next);
    }
  }
  return [...reached.values()];
}

const IN_A_BROWSER = walk(initial(), WITHOUT_THE_WORD);
const IN_WECHAT = walk(initial({ cashier: true }), WITHOUT_THE_WORD_IN_WECHAT);
const REACHABLE = [...IN_A_BROWSER, ...IN_WECHAT];

test("there is no path to paid without the server's status", () => {
  assert.ok(IN_A_BROWSER.length > 1000 && IN_WECHAT.length > 1000, [IN_A_BROWSER.length, IN_WECHAT.length].join());
  const names = new Set(REACHABLE.map((state) => state.name));
  assert.ok(!names.has("paid"));
  assert.deepEqual([...names].sort(), Object.keys(STATES).filter((name) => name !== "paid").sort());
});

test("R4.2 R7.1 outside WeChat nothing of its cashier ever begins", () => {
  for (const state of walk(initial(), [...WITHOUT_THE_WORD, QR, WECHAT, AUTHORIZED, LOGIN, { kind: "code_arrived", authorizations: 1 }])) {
    assert.ok(!["authorizing", "calling", "silent"].includes(state.name), state.name);
    assert.equal(way(state), "native");
  }
});

test("from everywhere the server's word leads to paid, and nothing leads out of it", () => {
  const tried = new Set();
  for (const state of REACHABLE) {
    const events = state.cashier ? WITHOUT_THE_WORD_IN_WECHAT : WITHOUT_THE_WORD;
    for (const status of ["paid", "partially_refunded", "refunded"]) {
      const paid = reduce(state, read(order(status)));
      assert.equal(paid.name, "paid");
      if (tried.has(likeness(paid))) continue;
      tried.add(likeness(paid));
      for (const event of events) assert.equal(reduce(paid, event).name, "paid");
    }
  }
});

test("no state is a dead end, and a tap that is not offered changes nothing", () => {
  for (const state of REACHABLE) {
    const { follows, taps } = STATES[state.name];
    assert.ok(taps.length > 0 || follows !== "never" || state.name === "gone", state.name);
    for (const [tap, event] of Object.entries({ pay: PAY, qr: QR, wechat: WECHAT, confirm: CONFIRM, back: BACK })) {
      assert.equal(reduce(state, event) === state, !may(state, tap), state.name + " " + tap);
    }
  }
});

test("waiting always ends", () => {
  for (const state of REACHABLE) {
    if (!STATES[state.name].patience_ms) continue;
    assert.notEqual(reduce(state, IMPATIENT).name, state.name);
  }
});

test("who only looks opens nothing, however much is learnt about them", () => {
  const isWished = ({ kind, authorizations }) => kind.endsWith("_tapped") || authorizations > 0;
  const looked = walk(initial({ cashier: true }), WITHOUT_THE_WORD_IN_WECHAT.filter((event) => !isWished(event)));
  assert.ok(looked.some(({ doing }) => doing === "authorizing") && looked.some(({ authorized }) => authorized));
  for (const { doing } of looked) assert.ok(doing !== "opening" && doing !== "calling", doing);
});

test("R2.8 WeChat is asked who pays at most twice for one tap", () => {
  for (const state of IN_WECHAT) assert.ok(state.authorizations <= AUTHORIZATIONS_MAX);
});
