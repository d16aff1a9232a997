// `pay` and `check` against every answer: no path to `paid` but the server's word.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

import { openClock, openPhone } from "./phone.js";
import { APP_ID, CALL_UP, LOST, OPENID, ORDER_ID, PAYABLE, SECRET, Server, order, payment, problem } from "./server.js";

const { check, pay } = createRequire(import.meta.url)("../../checkout/mini-program/miniprogram_dist/index.js");

/** @type {Server} */
let server;
before(async () => (server = await Server.start()));
after(() => server?.stop());

const PAID = { body: { order: order("paid", payment("succeeded")) } };
const DO_NOT_PAY_AGAIN = /请勿重复支付/;
const saying = (errMsg) => async () => errMsg;

/** Pays on a phone of its own; `waited` is how long, by the clock. */
async function payWith(answers, { cashier, secret = SECRET, ...options } = {}) {
  const [phone, clock, steps] = [openPhone(), openClock(), []];
  if (cashier) phone.cashier = cashier;
  server.says(answers);
  const call = { clientSecret: secret, baseUrl: server.url, wx: phone, clock, onStep: (step) => steps.push(step), ...options };
  const result = await pay(call);
  assert.equal(phone.listeners, 0, "nobody listens any more");
  assert.ok(!JSON.stringify(result).includes(OPENID), "the openid is in nobody's hands");
  return { result, phone, clock, steps, call };
}

test("AC1 AC2 the payer logs in, pays in WeChat's cashier, and the server says paid", async () => {
  const { result, phone, steps } = await payWith({ order: PAID }, { expectedTotal: 3990 });
  assert.equal(result.outcome, "paid");
  assert.equal(result.message, "支付成功");
  assert.equal(result.order.status, "paid");
  assert.equal(result.mayRetry, false);
  assert.deepEqual(server.asked, ["login", "open", "confirm", "order"]);
  assert.deepEqual(server.requests[0].body, { code: "code-1" });
  assert.deepEqual(server.requests[1].body, { method: "mini_program", app_id: APP_ID, openid: OPENID, expected_total: 3990 });
  const { appId, ...fields } = CALL_UP;
  assert.deepEqual(phone.parameters, fields, "a mini-program knows its own appId");
  assert.deepEqual(steps, ["opening", "cashier", "confirming"]);
  for (const { headers, url } of server.requests) {
    assert.equal(headers.authorization, `Bearer ${SECRET}`);
    assert.ok(!url.includes(SECRET) && !url.includes(OPENID), url);
  }
});

test("UX1 between the tap and the cashier the payer is asked nothing, and nobody waits", async () => {
  const { phone, clock } = await payWith({ order: PAID });
  assert.deepEqual(phone.calls, ["login", "requestPayment"]);
  assert.deepEqual(clock.waits, []);
});

test("a merchant with several mini-programs is told which one this is", async () => {
  await payWith({ order: PAID }, { appId: APP_ID });
  assert.deepEqual(server.requests[0].body, { code: "code-1", app_id: APP_ID });
});

test("AC4 whoever cancels is told so once the server has asked WeChat Pay, and pays with the same payment later", async () => {
  const { result, call } = await payWith({}, { cashier: saying("requestPayment:fail cancel") });
  assert.deepEqual([result.outcome, result.mayRetry, result.code], ["cancelled", true, undefined]);
  assert.equal(result.message, "支付未完成，可以重新支付。");
  assert.deepEqual(server.asked, ["login", "open", "confirm", "order"]);
  server.says({ order: PAID });
  call.wx.cashier = saying("requestPayment:ok");
  assert.equal((await pay(call)).outcome, "paid");
});

test("very old clients leave out the word fail", async () => {
  const { result } = await payWith({}, { cashier: saying("requestPayment:cancel") });
  assert.equal(result.outcome, "cancelled");
});

test("a cancel that the server contradicts is paid", async () => {
  const { result } = await payWith({ order: PAID }, { cashier: saying("requestPayment:fail cancel") });
  assert.equal(result.outcome, "paid");
});

test("AC5 a failure is told with what to do", async () => {
  const { result } = await payWith({}, { cashier: saying("requestPayment:fail 支付验证签名失败") });
  assert.deepEqual([result.outcome, result.mayRetry, result.code], ["failed", true, "cashier_failed"]);
  assert.equal(result.message, "支付没有成功。请重试，或换一种付款方式。");
  assert.equal(result.detail, "requestPayment:fail 支付验证签名失败");
});

test("AC5 a mini-program that WeChat does not let take payments says so", async () => {
  for (const errMsg of ["requestPayment:fail jsapi has no permission", "requestPayment:fail no permission", "requestPayment:fail banned"]) {
    const { result } = await payWith({}, { cashier: saying(errMsg) });
    assert.deepEqual([result.outcome, result.code], ["failed", "cashier_not_allowed"]);
    assert.match(result.message, /联系商家/);
  }
});

test("UX2 the client's ok alone is never paid: it is asked later and later, and ends unknown", async () => {
  const { result, clock } = await payWith({});
  assert.deepEqual([result.outcome, result.mayRetry, result.code], ["unknown", false, "not_confirmed"]);
  assert.match(result.message, DO_NOT_PAY_AGAIN);
  assert.deepEqual(clock.waits, [1000, 2000, 3000, 5000]);
});

test("UX2 paid a little later is paid", async () => {
  const pending = { body: { order: order("pending", PAYABLE) } };
  const { result, clock } = await payWith({ order: [pending, pending, PAID] });
  assert.equal(result.outcome, "paid");
  assert.deepEqual(clock.waits, [1000, 2000]);
});

test("a server that cannot be asked leaves it unknown, whatever the client said", async () => {
  for (const errMsg of ["requestPayment:ok", "requestPayment:fail cancel", "requestPayment:fail 系统错误", "surprise"]) {
    for (const answers of [{ confirm: LOST, order: LOST }, { confirm: LOST }, { order: LOST }, { confirm: problem(503, "busy") }]) {
      const { result } = await payWith(answers, { cashier: saying(errMsg) });
      assert.equal(result.outcome, "unknown", errMsg);
      assert.match(result.message, DO_NOT_PAY_AGAIN);
    }
  }
});

test("what WeChat Pay has not decided is not cancelled", async () => {
  for (const status of ["unknown", "closing", "succeeded"]) {
    const undecided = { confirm: { body: { payment: payment(status) } } };
    assert.equal((await payWith(undecided, { cashier: saying("requestPayment:fail cancel") })).result.outcome, "unknown", status);
    assert.equal((await payWith(undecided, { cashier: saying("requestPayment:fail") })).result.outcome, "unknown", status);
  }
});

test("an answer that nobody documented is unclear", async () => {
  const { result } = await payWith({}, { cashier: saying("nonsense") });
  assert.deepEqual([result.outcome, result.detail], ["unknown", "nonsense"]);
});

test("a client without a cashier is a failure, not a crash", async () => {
  const phone = openPhone();
  phone.requestPayment = undefined;
  server.says({});
  const result = await pay({ clientSecret: SECRET, baseUrl: server.url, wx: phone, clock: openClock() });
  assert.deepEqual([result.outcome, result.code], ["failed", "cashier_failed"]);
  assert.equal(phone.listeners, 0);
});

test("a cashier that never answers: the payer comes back, and the server's paid ends the wait", async () => {
  const [phone, clock] = [openPhone(), openClock()];
  const opened = new Promise((open) => (phone.cashier = async () => void setImmediate(open)));
  server.says({ order: [{ body: { order: order("pending", PAYABLE) } }, PAID] });
  const paying = pay({ clientSecret: SECRET, baseUrl: server.url, wx: phone, clock });
  await opened;
  phone.comeBack();
  assert.equal((await paying).outcome, "paid");
  assert.equal(phone.listeners, 0);
});

test("a payment that is not ready yet is waited for, at the server's pace", async () => {
  const later = { status: 202, headers: { "retry-after": "4" }, body: { payment: payment("created") } };
  const { result, clock } = await payWith({ open: later, read: [{ body: { payment: payment("unknown") } }, { body: { payment: PAYABLE } }], order: PAID });
  assert.equal(result.outcome, "paid");
  assert.deepEqual(server.asked.slice(0, 4), ["login", "open", "read", "read"]);
  assert.deepEqual(clock.waits, [4000, 2000]);
});

test("a payment that never gets ready ends, and no cashier was opened", async () => {
  const { result, phone, clock } = await payWith({ open: { status: 202, body: { payment: payment("queued") } }, read: { body: { payment: payment("queued") } } });
  assert.deepEqual([result.outcome, result.mayRetry, result.code], ["failed", true, "slow"]);
  assert.deepEqual(phone.calls, ["login"]);
  assert.ok(clock.ms <= 30000, String(clock.ms));
});

test("another payment that is being replaced is waited for", async () => {
  const { result } = await payWith({ open: [problem(409, "payment_in_progress", { retryable: true }), { body: { payment: PAYABLE } }], order: PAID });
  assert.equal(result.outcome, "paid");
});

test("an answer that got lost is asked for again: the live payment is given again", async () => {
  const { result, phone } = await payWith({ open: [LOST, { body: { payment: PAYABLE } }], order: PAID });
  assert.equal(result.outcome, "paid");
  assert.deepEqual(phone.calls, ["login", "requestPayment"]);
});

test("a code that was not taken is got anew, once", async () => {
  const expired = problem(400, "authorization_expired");
  const once = await payWith({ login: [expired, { body: { app_id: APP_ID, openid: OPENID } }], order: PAID });
  assert.equal(once.result.outcome, "paid");
  assert.deepEqual(server.requests.slice(0, 2).map(({ body }) => body.code), ["code-1", "code-2"]);
  const always = await payWith({ login: expired });
  assert.deepEqual([always.result.outcome, always.result.code, always.phone.codes], ["failed", "authorization_expired", 2]);
});

test("WeChat that does not answer the server is asked again about the same code, after a pause", async () => {
  const away = problem(503, "wechat_unavailable", { retryable: true });
  const { result, clock, phone } = await payWith({ login: away });
  assert.deepEqual([result.outcome, result.code, result.requestId, phone.codes], ["failed", "wechat_unavailable", "req_1", 1]);
  assert.deepEqual(clock.waits, [1000, 1000]);
  assert.match(result.message, /不会重复扣款/);
  const spent = await payWith({ login: [away, problem(400, "authorization_expired"), { body: { app_id: APP_ID, openid: OPENID } }], order: PAID });
  assert.equal(spent.result.outcome, "paid");
  assert.deepEqual(server.requests.slice(0, 3).map(({ body }) => body.code), ["code-1", "code-1", "code-2"]);
});

test("nobody is kept waiting for a server that wants to be asked much later", async () => {
  const later = { ...problem(429, "too_many_authorizations", { retryable: true }), headers: { "retry-after": "600" } };
  const { result, clock } = await payWith({ login: later });
  assert.deepEqual([result.outcome, result.code, result.mayRetry], ["failed", "too_many_authorizations", true]);
  assert.equal(result.message, "尝试次数过多，请稍后再试。");
  assert.deepEqual(clock.waits, []);
});

test("a login that WeChat refuses is told", async () => {
  const phone = openPhone();
  phone.login = ({ fail }) => fail({ errMsg: "login:fail system error" });
  server.says({});
  const result = await pay({ clientSecret: SECRET, baseUrl: server.url, wx: phone, clock: openClock() });
  assert.deepEqual([result.outcome, result.code, result.detail], ["failed", "login_failed", "login:fail system error"]);
});

test("an order that is paid already opens no cashier", async () => {
  const { result, phone } = await payWith({ open: problem(409, "order_paid"), order: PAID });
  assert.equal(result.outcome, "paid");
  assert.deepEqual(phone.calls, ["login"]);
  const seen = await payWith({ open: { status: 202, body: { payment: payment("created") } }, read: { body: { payment: payment("succeeded") } }, order: PAID });
  assert.equal(seen.result.outcome, "paid");
});

test("an order that is said to be paid, and then is not, is unknown", async () => {
  const { result } = await payWith({ open: problem(409, "order_paid") });
  assert.equal(result.outcome, "unknown");
  assert.match(result.message, DO_NOT_PAY_AGAIN);
});

test("what the server refuses is told in words, and offered again only where that helps", async () => {
  const cases = [
    [409, "order_closed", false, /订单已关闭/],
    [409, "order_expired", false, /即将过期/],
    [403, "status_only", false, /订单已关闭/],
    [409, "too_many_payments", false, /重新下单/],
    [409, "amount_differs", true, /核对金额/],
    [422, "payment_refused", true, /没有接受这次请求/],
    [403, "openid_not_verified", true, /没有接受这次请求/],
    [401, "unauthorized", false, /订单打不开/],
    [404, "order_not_found", false, /订单打不开/],
    [400, "app_unknown", false, /没有接受这次请求/],
    [403, "payer_refused", false, /联系商家/],
    [400, "a_code_of_next_year", true, /没有接受这次请求/],
  ];
  for (const [status, code, mayRetry, words] of cases) {
    const { result, phone } = await payWith({ open: problem(status, code) });
    assert.deepEqual([result.outcome, result.code, result.mayRetry, result.requestId], ["failed", code, mayRetry, "req_1"]);
    assert.match(result.message, words);
    assert.deepEqual(phone.calls, ["login"], code);
  }
  const { result } = await payWith({ login: problem(403, "snapshot_user") });
  assert.match(result.message, /预览/);
});

test("a payment that WeChat Pay refused while it was waited for is told", async () => {
  const refused = { body: { payment: payment("failed", { failure: { code: "NO_AUTH", message: "" } }) } };
  const { result } = await payWith({ open: { status: 202, body: { payment: payment("created") } }, read: refused });
  assert.deepEqual([result.outcome, result.code, result.detail], ["failed", "payment_refused", "NO_AUTH"]);
});

test("no network: safe to try again, and no cashier", async () => {
  const { result, phone } = await payWith({ login: LOST, open: LOST, order: LOST });
  assert.deepEqual([result.outcome, result.mayRetry, result.code, result.order], ["failed", true, "network", null]);
  assert.deepEqual(phone.calls, ["login"]);
});

test("a hotel's login page is not an answer", async () => {
  const page = { text: "<html>welcome</html>" };
  assert.equal((await payWith({ login: page })).result.outcome, "failed");
  assert.equal((await payWith({ open: page })).result.outcome, "failed");
  assert.equal((await payWith({ confirm: page, order: page })).result.outcome, "unknown");
  for (const odd of [{ order: "paid" }, { order: {} }, { order: null }, "paid", null]) {
    const { result } = await payWith({ order: { body: odd } }, { cashier: saying("requestPayment:fail cancel") });
    assert.equal(result.outcome, "unknown", JSON.stringify(odd));
  }
});

test("a secret that cannot be one is not sent anywhere", async () => {
  for (const secret of ["", "cs_", SECRET.slice(0, -1), `${SECRET}a`, SECRET.replace("cs_", "sk_"), `cs_../../${"a".repeat(63)}`, SECRET.replace("T", "I")]) {
    const { result } = await payWith({}, { secret });
    assert.deepEqual([result.outcome, result.code, result.mayRetry], ["failed", "client_secret_invalid", false], secret);
    assert.deepEqual(server.asked, []);
  }
});

test("who calls it wrongly hears so", async () => {
  const wx = openPhone();
  await assert.rejects(pay({ baseUrl: server.url, wx }), /TypeError: clientSecret/);
  for (const baseUrl of [undefined, "", "pay.example.com", "ftp://x", "https://"]) {
    await assert.rejects(pay({ clientSecret: SECRET, baseUrl, wx }), /TypeError: baseUrl/);
  }
});

test("the address may end with a slash", async () => {
  const { result } = await payWith({ order: PAID }, { baseUrl: `${server.url}/` });
  assert.equal(result.outcome, "paid");
});

test("in a WeChat that is not in Chinese it is English", async () => {
  const phone = openPhone({ language: "en" });
  phone.cashier = saying("requestPayment:fail cancel");
  server.says({});
  const result = await pay({ clientSecret: SECRET, baseUrl: server.url, wx: phone, clock: openClock() });
  assert.equal(result.message, "Payment not completed. You can pay again.");
});

test("check asks, opens nothing, and tells unpaid from unknown", async () => {
  const cases = [
    [{ order: PAID }, "paid", ["order"]],
    [{ order: { body: { order: order() } } }, "unpaid", ["order"]],
    [{}, "unpaid", ["order", "confirm", "order"]],
    [{ order: [{ body: { order: order("pending", PAYABLE) } }, PAID] }, "paid", ["order", "confirm", "order"]],
    [{ order: { body: { order: order("closed", payment("closed")) } } }, "unpaid", ["order"]],
    [{ confirm: { body: { payment: payment("unknown") } } }, "unknown", ["order", "confirm", "order"]],
    [{ confirm: LOST }, "unknown", ["order", "confirm", "order"], "network"],
    [{ confirm: problem(503, "busy") }, "unknown", ["order", "confirm", "order"], "busy"],
    [{ order: LOST }, "unknown", ["order"], "network"],
    [{ order: problem(404, "order_not_found") }, "failed", ["order"], "order_not_found"],
  ];
  for (const [answers, outcome, asked, code] of cases) {
    const phone = openPhone();
    server.says(answers);
    const result = await check({ clientSecret: SECRET, baseUrl: server.url, wx: phone, clock: openClock() });
    assert.deepEqual([result.outcome, result.code], [outcome, code]);
    assert.deepEqual(server.asked, asked);
    assert.deepEqual(phone.calls, []);
    if (outcome !== "paid") assert.notEqual(result.message, "支付成功");
  }
  assert.equal(ORDER_ID, server.requests[0].url.split("/").pop());
});
