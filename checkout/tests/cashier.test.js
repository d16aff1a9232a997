// Paying inside WeChat, decided without a browser. The numbers are those of docs/requirements.md.

import assert from "node:assert/strict";
import { test } from "node:test";

import { authorization } from "../authorization.js";
import { BRIDGE_MS_MAX, callUp } from "../bridge.js";
import { failureOf, initial, inQuestion, isPaidElsewhere, may, outcomeOf, reduce, way } from "../order.js";

const NOW = Date.parse("2026-11-22T06:00:00Z");
const at = (ms) => new Date(NOW + ms).toISOString();

const order = (status = "pending", payment = null) => ({
  id: "ord_1",
  status,
  amount: { total: 3990, currency: "CNY" },
  description: "tea",
  created_at: at(0),
  expires_at: at(3600000),
  paid_at: null,
  return_url: null,
  merchant: { name: "shop" },
  payment,
});
const payment = (status, more) => ({ id: "pay_1", order_id: "ord_1", method: "mini_program", status, created_at: at(0), ...more });
const CALLABLE = payment("awaiting_payment", { call_up: { package: "prepay_id=wx1" } });
const CODE = payment("awaiting_payment", { id: "pay_2", method: "native", code_url: "weixin://a", code_url_expires_at: at(600000) });

const read = (o) => ({ kind: "order_read", order: o, now: NOW });
const told = (p) => ({ kind: "payment_told", payment: p });
const answered = (p) => ({ kind: "confirm_answered", payment: p });
const refused = (code) => ({ kind: "payment_refused", failure: { code } });
const notAuthorized = (code) => ({ kind: "authorization_refused", failure: { code } });
const arrived = (authorizations) => ({ kind: "code_arrived", authorizations });
const closed = (outcome) => ({ kind: "cashier_closed", outcome });
const [PAY, QR, WECHAT, CONFIRM, BACK, LOGIN, AUTHORIZED, CAME_BACK, IMPATIENT, LOST] =
  ["pay_tapped", "qr_tapped", "wechat_tapped", "confirm_tapped", "back_tapped", "authorization_wanted", "authorized", "came_back", "ran_out_of_patience", "read_failed"].map((kind) => ({ kind }));

/** In WeChat, by a payer who is known already. */
const KNOWN = { cashier: true, authorized: true };
const STRANGER = { cashier: true };

const after = (place, events) => events.reduce(reduce, initial(place));

function check(name, place, events, expected) {
  test(name, () => {
    const names = [];
    events.reduce((state, event) => {
      const next = reduce(state, event);
      names.push(next.name);
      return next;
    }, initial(place));
    assert.equal(names.join(" → "), expected);
  });
}

check("R4.1 R4.3 R6.1 R6.4 the cashier is called up, its ok is confirmed, and only the server's word is paid", KNOWN,
  [read(order()), PAY, told(CALLABLE), closed("ok"), answered(payment("succeeded")), read(order("paid"))],
  "ready → opening → calling → confirming → confirming → paid");
check("R4.4 who is not known is sent to the login first, and nothing else begins meanwhile", STRANGER,
  [read(order()), PAY, arrived(1), read(order()), arrived(1), AUTHORIZED, told(CALLABLE)],
  "ready → authorizing → authorizing → authorizing → authorizing → authorizing → authorizing");
check("R4.4 the page comes back with a code, and goes on", STRANGER, [read(order()), arrived(1), AUTHORIZED, told(CALLABLE)],
  "ready → authorizing → opening → calling");
check("R2.1 who has come is asked for at once, and opens nothing by that", STRANGER,
  [read(order()), LOGIN, read(order()), arrived(0), CAME_BACK], "ready → authorizing → authorizing → authorizing → ready");
check("a code that nobody tapped for opens nothing, until somebody taps", STRANGER,
  [read(order()), arrived(0), AUTHORIZED, LOGIN, PAY, told(CALLABLE)], "ready → authorizing → ready → ready → opening → calling");
check("who is not there to pay is not asked for", STRANGER,
  [LOGIN, read(order("closed")), LOGIN, read(order("paid")), LOGIN], "loading → closed → closed → paid → paid");
check("a login that nobody tapped for ends without a failure, and a tap begins anew", STRANGER,
  [read(order()), LOGIN, IMPATIENT, arrived(0), notAuthorized("openid_unavailable"), PAY], "ready → authorizing → ready → authorizing → ready → authorizing");
check("but who previews is told so", STRANGER,
  [read(order()), arrived(0), notAuthorized("snapshot_user")], "ready → authorizing → failed");
check("R2.8 a code that is worth nothing is asked for once more", STRANGER,
  [read(order()), arrived(1), notAuthorized("authorization_expired")], "ready → authorizing → authorizing");
check("R2.8 and not a third time", STRANGER,
  [read(order()), arrived(2), notAuthorized("authorization_expired"), PAY], "ready → authorizing → failed → authorizing");
check("R2.8 without a tap it is not asked for at all", STRANGER,
  [read(order()), arrived(0), notAuthorized("authorization_expired")], "ready → authorizing → ready");
check("a login that ends after patience did is remembered for the next tap", STRANGER,
  [read(order()), arrived(1), IMPATIENT, AUTHORIZED, PAY], "ready → authorizing → failed → failed → opening");
check("who previews is refused, and not sent round again", STRANGER,
  [read(order()), arrived(1), notAuthorized("snapshot_user")], "ready → authorizing → failed");
check("an openid of another order is not taken: the payer logs in once more", KNOWN,
  [read(order()), PAY, refused("openid_not_verified"), CAME_BACK], "ready → opening → authorizing → ready");
check("R6.2 AC4 who cancels can pay again", KNOWN,
  [read(order()), PAY, told(CALLABLE), closed("cancel"), read(order("pending", CALLABLE)), PAY, told(CALLABLE)],
  "ready → opening → calling → ready → ready → opening → calling");
check("R6.3 R5.4 AC5 a failure is said, and can be tried again", KNOWN,
  [read(order()), PAY, told(CALLABLE), closed("failed"), PAY], "ready → opening → calling → failed → opening");
check("without a bridge there is the QR code", KNOWN,
  [read(order()), PAY, told(CALLABLE), closed("missing"), QR, told(CODE)], "ready → opening → calling → failed → opening → scan");
check("and from the QR code the way back", KNOWN,
  [read(order()), PAY, told(CALLABLE), closed("missing"), QR, told(CODE), WECHAT, told(CALLABLE)],
  "ready → opening → calling → failed → opening → scan → opening → calling");
check("a silent cashier may have been paid: the payer can ask, and what it says late counts", KNOWN,
  [read(order()), PAY, told(CALLABLE), IMPATIENT, CONFIRM, answered(CALLABLE), closed("ok")],
  "ready → opening → calling → silent → confirming → ready → confirming");
check("a cashier that lies, or is ahead of WeChat Pay, ends unclear and not unpaid", KNOWN,
  [read(order()), PAY, told(CALLABLE), closed("ok"), answered(CALLABLE), answered(CALLABLE), IMPATIENT, read(order("pending", CALLABLE)), BACK],
  "ready → opening → calling → confirming → confirming → confirming → unclear → unclear → ready");
check("a payment that is closed after its ok is unclear, not ready to be paid again", KNOWN,
  [read(order()), PAY, told(CALLABLE), closed("ok"), answered(payment("closed"))], "ready → opening → calling → confirming → unclear");
check("no answer at all after the ok is unclear, until the server is heard again", KNOWN,
  [read(order()), PAY, told(CALLABLE), closed("ok"), { kind: "confirm_failed" }, LOST, read(order("paid"))],
  "ready → opening → calling → confirming → unclear → unclear → paid");
check("paid while the cashier is open", KNOWN, [read(order()), PAY, told(CALLABLE), read(order("paid")), closed("cancel")],
  "ready → opening → calling → paid → paid");
check("what another person asked for opens no cashier here", KNOWN,
  [read(order()), PAY, read(order("pending", CALLABLE))], "ready → opening → opening");
check("a payment that waits for its predecessor is waited for", KNOWN,
  [read(order("pending", CODE)), PAY, told(payment("queued")), told(payment("created")), told(CALLABLE)],
  "ready → opening → opening → opening → calling");
check("call-up parameters that come too late wait for a tap", KNOWN,
  [read(order()), PAY, told(payment("unknown")), IMPATIENT, told(CALLABLE), PAY, told(CALLABLE)],
  "ready → opening → opening → failed → failed → opening → calling");
check("the order expires while WeChat asks who pays", STRANGER,
  [read(order()), PAY, { kind: "clock_ticked", now: NOW + 3600000 }], "ready → authorizing → expired");

test("what is shown beside the state, inside WeChat", () => {
  const desktopFirst = after(KNOWN, [read(order("pending", CODE))]);
  assert.ok(isPaidElsewhere(desktopFirst));
  assert.ok(!isPaidElsewhere(after(KNOWN, [read(order("pending", CALLABLE))])), "one's own, after a reload");
  const cancelled = after(KNOWN, [read(order()), PAY, told(CALLABLE), closed("cancel")]);
  assert.equal(cancelled.hint, "cancelled");
  const failed = after(KNOWN, [read(order()), PAY, told(CALLABLE), closed("denied")]);
  assert.equal(failureOf(failed).code, "cashier_denied");
  assert.ok(may(failed, "qr") && !may(failed, "wechat"));
  assert.equal(way(after(KNOWN, [read(order()), QR])), "native");
  const silent = after(KNOWN, [read(order()), PAY, told(CALLABLE), IMPATIENT]);
  assert.equal(inQuestion(reduce(silent, read(order("pending", CODE)))), "pay_1", "the one that was called up, whatever came since");
});

test("R6.1 R6.2 R6.3 what the bridge says", () => {
  const cases = {
    "get_brand_wcpay_request:ok": "ok",
    "get_brand_wcpay_request:cancel": "cancel",
    "get_brand_wcpay_request:fail": "failed",
    "get_brand_wcpay_request:fail_invalid appid": "failed",
    "get_brand_wcpay_request:fail_invalid_data": "failed",
    "get_brand_wcpay_request:okay": "failed",
    "chooseWXPay:ok": "failed",
    "system:access_denied": "denied",
    "system:function_not_exist": "old",
    unknown: "failed",
    "": "missing",
  };
  for (const [said, outcome] of Object.entries(cases)) assert.equal(outcomeOf(said), outcome, said);
});

// --- The bridge --------------------------------------------------------------------------------

/** A window with what the bridge needs, whose timers fire when they are told to. */
function hostWith(bridge) {
  const host = { WeixinJSBridge: bridge, document: new EventTarget(), timers: [] };
  host.setTimeout = (act, ms) => host.timers.push({ act, ms });
  host.clearTimeout = (id) => (host.timers[id - 1] = null);
  return host;
}
const FIELDS = { appId: "wx1", timeStamp: "1", nonceStr: "n", package: "prepay_id=wx1", signType: "RSA", paySign: "s" };

test("R5.1 R5.3 the bridge is given the six fields as they are", async () => {
  const asked = [];
  const bridge = { invoke: (...said) => (asked.push(said.slice(0, 2)), said[2]({ err_msg: "get_brand_wcpay_request:ok" })) };
  assert.equal(await callUp(FIELDS, hostWith(bridge)), "get_brand_wcpay_request:ok");
  assert.deepEqual(asked, [["getBrandWCPayRequest", FIELDS]]);
});

test("R5.2 a bridge that comes later is waited for, once", async () => {
  const host = hostWith(undefined);
  const said = callUp(FIELDS, host);
  host.WeixinJSBridge = { invoke: (_, __, answer) => answer({ err_msg: "get_brand_wcpay_request:cancel" }) };
  host.document.dispatchEvent(new Event("WeixinJSBridgeReady"));
  assert.equal(await said, "get_brand_wcpay_request:cancel");
  assert.deepEqual(host.timers, [null]);
});

test("R5.4 no bridge, one that throws, and one that answers nonsense", async () => {
  const host = hostWith(undefined);
  const said = callUp(FIELDS, host);
  assert.equal(host.timers[0].ms, BRIDGE_MS_MAX);
  host.timers[0].act();
  assert.equal(await said, "");
  const throws = () => { throw new Error("no"); };
  assert.equal(outcomeOf(await callUp(FIELDS, hostWith({ invoke: throws }))), "failed");
  for (const nonsense of [undefined, null, {}, { err_msg: null }, { err_msg: 7 }]) {
    assert.equal(outcomeOf(await callUp(FIELDS, hostWith({ invoke: (_, __, answer) => answer(nonsense) }))), "failed");
  }
});

// --- The login ---------------------------------------------------------------------------------

const SECRET = "cs_01M81ZWHM7FGJZS7W523ZGX8DXsecret";
const SETTINGS = { api_url: "https://pay.example", client_secret: SECRET, order_id: "ord_1", app_id: "wx1" };

/** A tab at an address, with storage or with storage that is refused. */
function tabAt(address, isRefused = false) {
  const kept = new Map();
  const tab = { gone: [], history: { state: null, replaceState: (_, __, to) => (tab.location.href = new URL(to, tab.location.href).href) } };
  tab.location = { href: address, assign: (to) => tab.gone.push(to) };
  Object.defineProperty(tab, "sessionStorage", {
    get: () => {
      if (isRefused) throw new Error("refused");
      return { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) };
    },
  });
  tab.kept = kept;
  return tab;
}

test("R2.1 the login is left for with the secret, and with the way back to a page of the shop's own", () => {
  const own = tabAt("https://pay.example/pay/" + SECRET + "?code=1&state=2#x");
  authorization(SETTINGS, own).leave(1);
  assert.deepEqual(own.gone, ["https://pay.example/v1/wechat/oauth/authorize?client_secret=" + SECRET]);
  const shops = tabAt("https://shop.example/cart?id=7&code=1&state=2#x");
  authorization(SETTINGS, shops).leave(1);
  assert.equal(new URL(shops.gone[0]).searchParams.get("return_to"), "https://shop.example/cart?id=7");
});

test("R2.6 R2.7 the code is taken out of the address, and the openid is kept for this order and app only", () => {
  const tab = tabAt("https://shop.example/cart?id=7");
  authorization(SETTINGS, tab).leave(1);
  tab.location.href = "https://shop.example/cart?id=7&code=0a&state=B2#wechat_redirect";
  const payer = authorization(SETTINGS, tab);
  assert.deepEqual(payer.arrival(), { code: "0a", state: "B2", authorizations: 1, foreign: false });
  assert.equal(tab.location.href, "https://shop.example/cart?id=7");
  assert.equal(payer.arrival(), null, "once");
  payer.remember("oPayer");
  assert.deepEqual([...tab.kept], [["everpaid-openid:wx1:ord_1", "oPayer"]]);
  assert.equal(authorization({ ...SETTINGS, app_id: "wx2" }, tab).openid(), "");
  assert.equal(authorization({ ...SETTINGS, order_id: "ord_2" }, tab).openid(), "");
  payer.forget();
  assert.deepEqual([...tab.kept], []);
});

test("a code that this tab did not ask for is foreign, and a page that is loaded twice is not", () => {
  const back = "https://shop.example/?code=0a&state=B2";
  assert.equal(authorization(SETTINGS, tabAt(back)).arrival().foreign, true);
  const tab = tabAt("https://shop.example/");
  authorization(SETTINGS, tab).leave(1);
  for (let load = 0; load < 2; load++) {
    tab.location.href = back;
    assert.equal(authorization(SETTINGS, tab).arrival().foreign, false);
  }
  tab.location.href = back;
  const payer = authorization(SETTINGS, tab);
  payer.arrival();
  payer.settled();
  tab.location.href = back;
  assert.equal(payer.arrival().foreign, true, "what it was worth is known");
});

check("a foreign code opens nothing and makes nobody known", STRANGER,
  [read(order()), { ...arrived(0), foreign: true }, PAY], "ready → ready → authorizing");

test("R2.1 a tab asks at once no more than once, and not if it forgets that it did", () => {
  const tab = tabAt("https://shop.example/");
  const payer = authorization(SETTINGS, tab);
  assert.equal(payer.arrival(), null);
  assert.ok(payer.mayAskAtOnce());
  payer.leave(0);
  assert.equal(new URL(tab.gone[0]).pathname, "/v1/wechat/oauth/authorize");
  const empty = authorization(SETTINGS, tab);
  assert.deepEqual([empty.arrival(), empty.mayAskAtOnce()], [null, false], "it came back without a code");
  authorization(SETTINGS, tab).leave(0);
  tab.location.href = "https://shop.example/?code=0a&state=B2";
  const back = authorization(SETTINGS, tab);
  assert.deepEqual(back.arrival(), { code: "0a", state: "B2", authorizations: 0, foreign: false });
  back.settled();
  assert.ok(!authorization(SETTINGS, tab).mayAskAtOnce(), "whatever the code was worth");
  assert.ok(!authorization(SETTINGS, tabAt("https://shop.example/", true)).mayAskAtOnce(), "storage is refused");
});

test("a code whose worth is told late does not undo a tap that asked since", () => {
  const tab = tabAt("https://shop.example/");
  authorization(SETTINGS, tab).leave(0);
  tab.location.href = "https://shop.example/?code=0a&state=B2";
  const payer = authorization(SETTINGS, tab);
  payer.arrival();
  payer.leave(1);
  payer.settled();
  tab.location.href = "https://shop.example/?code=0c&state=D4";
  assert.equal(authorization(SETTINGS, tab).arrival().authorizations, 1);
});

check("a callback that is loaded twice leaves the payer known", { cashier: true, authorized: true },
  [read(order()), { ...arrived(0), foreign: true }, PAY, told(CALLABLE)], "ready → ready → opening → calling");

test("where storage is refused nothing breaks and nothing loops", () => {
  const tab = tabAt("https://shop.example/?code=0a&state=B2", true);
  const payer = authorization(SETTINGS, tab);
  assert.deepEqual(payer.arrival(), { code: "0a", state: "B2", authorizations: 0, foreign: false });
  payer.remember("oPayer");
  assert.equal(payer.openid(), "oPayer", "until the page is left");
});
