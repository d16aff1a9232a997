// Paying inside WeChat: login, cashier, and what the page makes of whatever the bridge says.
// The numbers are those of docs/requirements.md.

import assert from "node:assert/strict";
import { test } from "node:test";

import { button, heading, newPage as newPageIn, shoot } from "./chromium.js";
import { cashierOf, payInTheCashier } from "./shop.js";
import { browser, dev, shop } from "./system.js";

const PHONE = { viewport: { width: 390, height: 800 } };
const openidsIn = (page) => page.evaluate(() => Object.entries(sessionStorage).filter(([key]) => key.startsWith("everpaid-openid:")));

/** An order's page inside WeChat, before anybody taps. */
async function inWechat(prepare = async () => {}) {
  const order = await shop.place();
  const page = await newPageIn(browser, PHONE);
  await prepare(page);
  const seen = visits(page);
  await page.goto(order.wechat_url);
  await button(page, "微信支付").waitFor();
  return { order, page, seen };
}

/** Answers who the payer is with that; `times` says how often, without it for ever. */
const answersLogin = (page, status, code, times) =>
  page.route("**/v1/wechat/oauth/openid", (route) => route.fulfill({ status, contentType: "application/problem+json", body: JSON.stringify({ code }) }), { times });

/** The same, where the login at the beginning led to nothing: a tap has to log in. */
const strangerInWechat = () => inWechat((page) => answersLogin(page, 400, "authorization_expired", 1));

/** Addresses of documents that the page went to, without their queries. */
function visits(page) {
  const seen = [];
  page.on("request", (request) => request.isNavigationRequest() && request.frame() === page.mainFrame() && seen.push(new URL(request.url())));
  return seen;
}

const LOGIN = ["/v1/wechat/oauth/authorize", "/connect/oauth2/authorize", "/wechat/auth-jump", "/pay/cs_"];
const paths = (seen) => seen.map(({ pathname }) => pathname.replace(/cs_.*/, "cs_"));

test("R1.1 R4.1 R4.3 R5.1 R5.3 R6.1 R6.4 AC1 AC2 UX1 a tap calls up the cashier, and the server says 支付成功", async () => {
  const { order, page, seen } = await inWechat();
  await page.evaluate(() => {
    const { invoke } = WeixinJSBridge;
    window.asked = [];
    WeixinJSBridge.invoke = (...asked) => {
      window.asked.push(asked.slice(0, 2));
      return invoke.call(WeixinJSBridge, ...asked);
    };
  });
  const confirms = [];
  page.on("request", (request) => request.url().endsWith("/confirm") && confirms.push(request.url()));
  // One tap, and nothing asked before the cashier is there; how long it takes is for bench/run-tap to say.
  await button(page, "微信支付").click();
  await cashierOf(page).getByRole("button", { name: "确认支付" }).waitFor();
  await shoot(page, "wechat-checkout-cashier");

  const { call_up } = (await shop.read(order.id)).payment;
  assert.deepEqual(paths(seen), ["/pay/cs_", ...LOGIN], "the login was before the tap");
  assert.equal(new URL(page.url()).search, "");
  await payInTheCashier(page);
  await heading(page, "支付成功").waitFor();
  await shoot(page, "wechat-checkout-paid");
  assert.ok(confirms.length > 0, "the server was asked, the bridge was not believed");
  const asked = await page.evaluate(() => window.asked);
  assert.deepEqual(asked, [["getBrandWCPayRequest", call_up]], "once, with what the server signed and nothing else");
  assert.deepEqual(Object.keys(call_up).sort(), ["appId", "nonceStr", "package", "paySign", "signType", "timeStamp"]);
  const paid = await shop.read(order.id);
  assert.deepEqual([paid.status, paid.payment.method], ["paid", "mini_program"]);
  const [[, openid]] = await openidsIn(page);
  assert.equal((await shop.atWechat(order.id)).payer_openid, openid);
  assert.deepEqual(page.problems, []);
});

test("where WeChat logs nobody in, the page is left behind and the payer goes back to it", async () => {
  const order = await shop.place();
  const page = await newPageIn(browser, PHONE);
  await page.route("**/v1/wechat/oauth/authorize?*", (route) => route.fulfill({ status: 502, body: "bad gateway" }));
  await page.goto(order.wechat_url);
  await page.getByText("bad gateway").waitFor();
  await page.goBack();
  await button(page, "微信支付").waitFor();
  await page.reload();
  await button(page, "微信支付").waitFor();
  await button(page, "改用扫码支付").click();
  await page.locator("img[src*='qr.svg']").waitFor();
});

test("R4.4 who is not known logs in by the tap, and needs no second one", async () => {
  const { page, seen } = await strangerInWechat();
  const before = seen.length;
  await button(page, "微信支付").click();
  await payInTheCashier(page);
  await heading(page, "支付成功").waitFor();
  assert.deepEqual(paths(seen).slice(before), LOGIN);
});

test("R2.1 R2.2 R2.5 R2.6 R2.7 who pays is learnt by a silent login, and kept in this tab only", async () => {
  const { order, page, seen } = await inWechat();
  assert.equal((await shop.read(order.id)).payment, null, "looking opens nothing");
  const toWechat = seen.find(({ pathname }) => pathname === "/connect/oauth2/authorize");
  assert.match(toWechat.href, /\?appid=wx\w+&redirect_uri=[^&]+&response_type=code&scope=snsapi_base&state=[0-9A-Za-z]{32}$/);
  assert.ok(seen.at(-1).searchParams.get("code"), "the page was given a code");
  const [[key, openid], ...others] = await openidsIn(page);
  assert.deepEqual(others, []);
  assert.equal(key, `everpaid-openid:${toWechat.searchParams.get("appid")}:${order.id}`);
  assert.ok(!page.url().includes(openid) && !seen.some(({ href }) => href.includes(openid)), "no address has the openid");
  assert.equal(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes("openid")).length), 0);
});

test("R6.2 AC4 who cancels stays, and pays the same payment after all", async () => {
  const { order, page } = await inWechat();
  await button(page, "微信支付").click();
  await cashierOf(page).getByRole("button", { name: "取消" }).click();
  await page.getByText("支付未完成，可重新支付。").waitFor();
  await shoot(page, "wechat-checkout-cancelled");
  const seen = visits(page);
  await button(page, "微信支付").click();
  await payInTheCashier(page);
  await heading(page, "支付成功").waitFor();
  assert.equal(seen.length, 0, "who the payer is was known");
  assert.equal(await shop.payments(order.id), 1);
  assert.deepEqual((await shop.atWechat(order.id)).payer_attempts.map(({ outcome }) => outcome), ["cancelled", "paid"]);
});

test("R5.4 R6.3 AC5 UX2 who has not enough money is told, and can try again", async () => {
  const { order, page } = await inWechat();
  await button(page, "微信支付").click();
  await cashierOf(page).getByRole("button", { name: "余额不足" }).click();
  await cashierOf(page).getByRole("button", { name: "返回商户" }).click();
  await heading(page, "支付未完成").waitFor();
  await page.getByText("余额不足").waitFor();
  await shoot(page, "wechat-checkout-failed");
  await button(page, "重新支付").click();
  await payInTheCashier(page);
  await heading(page, "支付成功").waitFor();
  assert.equal(await shop.payments(order.id), 1);
});

test("R5.2 a bridge that is not there yet is waited for", async () => {
  const hide = () => {
    let bridge;
    let isShown = false;
    window.asked = [];
    const heard = ({ invoke }) => ({ invoke: (...asked) => (window.asked.push(asked[0]), invoke(...asked)) });
    Object.defineProperty(window, "WeixinJSBridge", { configurable: true, get: () => (isShown ? bridge : undefined), set: (value) => (bridge = heard(value)) });
    document.addEventListener("WeixinJSBridgeReady", (event) => !isShown && event.stopImmediatePropagation(), true);
    window.showBridge = () => {
      isShown = true;
      document.dispatchEvent(new Event("WeixinJSBridgeReady"));
    };
  };
  const { page } = await inWechat((page) => page.addInitScript(hide));
  await button(page, "微信支付").click();
  await heading(page, "正在拉起微信支付…").waitFor();
  assert.deepEqual(await page.evaluate(() => window.asked), []);
  await page.evaluate(() => window.showBridge());
  await payInTheCashier(page);
  await heading(page, "支付成功").waitFor();
  assert.deepEqual(await page.evaluate(() => window.asked), ["getBrandWCPayRequest"]);
});

test("R5.4 without a bridge the page says so, and a QR code is offered", async () => {
  const gone = () => Object.defineProperty(window, "WeixinJSBridge", { get: () => undefined, set: () => {} });
  const { order, page } = await inWechat(async (page) => {
    await page.addInitScript(gone);
    await page.clock.install();
  });
  await button(page, "微信支付").click();
  await heading(page, "正在拉起微信支付…").waitFor();
  await page.clock.fastForward(9000);
  await page.getByText("没有找到微信支付").waitFor();
  await button(page, "改用扫码支付").click();
  await page.locator("img[src*='qr.svg']").waitFor();
  await shop.atWechat(order.id, "/pay");
  await heading(page, "支付成功").waitFor();
});

const bridgeThat = (answers) => `
  const bridge = { invoke(name, parameters, answer) { (window.invoked ??= []).push(parameters); ${answers} } };
  Object.defineProperty(window, "WeixinJSBridge", { get: () => bridge, set: () => {} });`;

test("a bridge that never answers: 支付窗口打开了吗, and the server's word arrives all the same", async () => {
  const { order, page } = await inWechat(async (page) => {
    await page.addInitScript(bridgeThat(""));
    await page.clock.install();
  });
  await button(page, "微信支付").click();
  await page.waitForFunction(() => window.invoked?.length === 1);
  await page.clock.fastForward(16000);
  await heading(page, "微信支付窗口打开了吗？").waitFor();
  await button(page, "我已支付").click();
  await page.getByText("支付未完成").or(heading(page, "待支付")).first().waitFor();
  assert.equal(await page.getByText("支付成功").count(), 0);
  await shop.atWechat(order.id, "/pay");
  await heading(page, "支付成功").waitFor();
});

test("R6.3 every form of fail is said in words with a way on, and never 支付成功", async () => {
  const cases = {
    "get_brand_wcpay_request:fail": "可以放心重试",
    "get_brand_wcpay_request:fail_invalid appid": "可以放心重试",
    "get_brand_wcpay_request:fail_nobody_knows": "可以放心重试",
    "get_brand_wcpay_request:okay": "可以放心重试",
    "system:access_denied": "微信不允许在当前页面付款",
    "system:function_not_exist": "请更新微信",
  };
  const { order, page } = await inWechat((page) => page.addInitScript(bridgeThat('answer({ err_msg: sessionStorage.getItem("says") });')));
  for (const [says, words] of Object.entries(cases)) {
    await page.evaluate((says) => sessionStorage.setItem("says", says), says);
    await page.getByRole("button", { name: /^(微信支付|重新支付)$/ }).click();
    await page.getByText(words).waitFor();
    await heading(page, "支付未完成").waitFor();
    assert.equal(await button(page, "改用扫码支付").count(), 1, says);
    assert.equal(await page.getByText("支付成功").count(), 0, says);
  }
  assert.equal((await shop.read(order.id)).status, "pending");
});

test("R6.1 R6.4 a bridge that lies about success is not believed: 请勿重复支付 until the server knows", async () => {
  const { order, page } = await inWechat(async (page) => {
    await page.addInitScript(bridgeThat('answer({ err_msg: "get_brand_wcpay_request:ok" });'));
    await page.clock.install();
  });
  await button(page, "微信支付").click();
  await heading(page, "正在确认支付结果").waitFor();
  await page.clock.fastForward(16000);
  await heading(page, "暂时无法确认支付结果").waitFor();
  await page.getByText("请勿重复支付").first().waitFor();
  assert.equal(await page.getByText("支付成功").count(), 0);
  assert.equal(await page.getByRole("button", { name: "微信支付" }).count(), 0, "nothing to pay again with at hand");
  await shop.atWechat(order.id, "/pay");
  await heading(page, "支付成功").waitFor();
});

test("R6.5 the server's word ends it: a receipt, and the way back to the shop", async () => {
  const order = await shop.place({ return_url: "https://shop.example/orders/7" });
  const page = await newPageIn(browser, PHONE);
  await page.goto(order.wechat_url);
  await button(page, "微信支付").click();
  await payInTheCashier(page);
  await heading(page, "支付成功").waitFor();
  assert.equal(await page.getByRole("link", { name: "返回商家" }).getAttribute("href"), "https://shop.example/orders/7");
  await page.reload();
  await heading(page, "支付成功").waitFor();
});

test("R2.8 a code that is worth nothing is asked for once more, and never in a loop", async () => {
  const { page, seen } = await inWechat((page) => answersLogin(page, 400, "authorization_expired"));
  const authorizations = () => seen.filter(({ pathname }) => pathname === "/v1/wechat/oauth/authorize").length;
  await page.getByText("微信登录未完成，点击支付时会重新登录。").waitFor();
  assert.equal(authorizations(), 1, "once before anybody tapped");
  await button(page, "微信支付").click();
  await page.getByText("微信登录没有成功").waitFor();
  assert.equal(authorizations(), 3);
  await shoot(page, "wechat-checkout-authorization-expired");
  await page.unroute("**/v1/wechat/oauth/openid");
  await answersLogin(page, 400, "authorization_expired", 1);
  await button(page, "重新支付").click();
  await cashierOf(page).getByRole("button", { name: "确认支付" }).waitFor();
  assert.equal(authorizations(), 5, "once more was enough");
});

test("R2.8 a code that nobody asked for here opens nothing", async () => {
  const order = await shop.place();
  const page = await newPageIn(browser, PHONE);
  await page.goto(`${order.wechat_url}?code=0forged&state=${"A".repeat(32)}`);
  await page.getByText("微信登录未完成，点击支付时会重新登录。").waitFor();
  assert.equal(new URL(page.url()).search, "");
  assert.equal((await shop.read(order.id)).payment, null);
});

test("R2.8 a link with somebody else's code in it makes nobody that somebody", async () => {
  const order = await shop.place();
  const theirs = await newPageIn(browser, PHONE);
  const answers = visits(theirs);
  // Their code is good and never brought: their page is stopped before it asks what it is worth.
  const stopped = new Promise((tell) => theirs.route("**/v1/wechat/oauth/openid", (route) => (route.abort(), tell())));
  await theirs.goto(order.wechat_url);
  await stopped;
  const link = answers.findLast(({ searchParams }) => searchParams.has("code")).href;

  const page = await newPageIn(browser, PHONE);
  const exchanges = [];
  page.on("request", (request) => request.url().endsWith("/wechat/oauth/openid") && exchanges.push(request));
  await page.goto(link);
  await page.getByText("微信登录未完成，点击支付时会重新登录。").waitFor();
  await shoot(page, "wechat-checkout-foreign-code");
  assert.equal(new URL(page.url()).search, "");
  assert.deepEqual([exchanges.length, await openidsIn(page)], [0, []], "the code was brought nowhere");
  assert.equal((await shop.read(order.id)).payment, null);

  // A tap asks who is here, and that is who pays.
  await page.getByText("模拟微信").first().click();
  await page.getByRole("button", { name: "小红" }).click();
  await button(page, "微信支付").click();
  await payInTheCashier(page);
  await heading(page, "支付成功").waitFor();
  const asked = exchanges.map((request) => request.postDataJSON().code);
  assert.ok(asked.length === 1 && !link.includes(asked[0]), "only this browser's own code");
  const [[, openid]] = await openidsIn(page);
  assert.equal((await shop.atWechat(order.id)).payer_openid, openid);
});

test("who only previews the page is told how to see all of it", async () => {
  const order = await shop.place();
  const page = await newPageIn(browser, PHONE);
  await answersLogin(page, 403, "snapshot_user");
  await page.goto(order.wechat_url);
  await page.getByText("使用完整服务").waitFor();
});

test("an openid of another order is worth nothing here: the payer is asked again, once", async () => {
  const first = await inWechat();
  await button(first.page, "微信支付").click();
  await cashierOf(first.page).getByRole("button", { name: "取消" }).click();
  const [[key, openid]] = await openidsIn(first.page);
  const second = await shop.place();
  const { page } = first;
  await page.evaluate(([key, value]) => sessionStorage.setItem(key, value), [key.replace(first.order.id, second.id), openid]);
  const seen = visits(page);
  await page.goto(second.wechat_url);
  await button(page, "微信支付").click();
  await cashierOf(page).getByRole("button", { name: "确认支付" }).waitFor();
  assert.equal(seen.filter(({ pathname }) => pathname === "/v1/wechat/oauth/authorize").length, 1);
});

test("R2.4 R2.5 what comes back forged, over-long or to a foreign place is a page with words, and leads nowhere", async () => {
  const order = await shop.place();
  const page = await newPageIn(browser, PHONE);
  for (const query of ["", "?code=0a", `?code=0a&state=${"B".repeat(32)}`, `?code=0a&state=${"C".repeat(5000)}`]) {
    const response = await page.goto(`${dev.wechat_url}/wechat/auth-jump${query}`);
    assert.ok(response.status() >= 400 && response.status() < 500, query);
    assert.equal(new URL(page.url()).pathname, "/wechat/auth-jump");
    assert.ok((await page.locator("h1").textContent()).length > 3 && (await page.locator("h2[lang=en], [lang=en] h2").count()) === 1, query);
  }
  await shoot(page, "notice-forged");
  for (const target of ["https://evil.example/", "//evil.example", `${dev.api_url}@evil.example/`, "javascript:alert(1)"]) {
    const response = await page.goto(`${dev.wechat_url}/v1/wechat/oauth/authorize?client_secret=${order.client_secret}&return_to=${encodeURIComponent(target)}`);
    assert.equal(response.status(), 400, target);
    assert.equal(new URL(page.url()).origin, dev.wechat_url, target);
  }
});

test("P15 back, reload and a second load of the callback leave one payment and one page that works", async () => {
  const { order, page, seen } = await inWechat();
  await button(page, "微信支付").click();
  await cashierOf(page).getByRole("button", { name: "取消" }).click();
  const callback = seen.at(-1).href;
  await page.goto(callback); // WeChat loads it twice now and then
  await button(page, "微信支付").waitFor();
  assert.equal(await page.getByText("微信登录未完成").count(), 0, "the payer is known");
  assert.equal(new URL(page.url()).search, "");
  await page.reload();
  await button(page, "微信支付").click();
  await payInTheCashier(page);
  await heading(page, "支付成功").waitFor();
  assert.equal(await shop.payments(order.id), 1);
  await page.goBack();
  await page.goForward();
  await heading(page, "支付成功").waitFor();
});

test("the api away in the middle: nothing false is said, and the page goes on by itself", async () => {
  const { order, page } = await inWechat((page) => page.clock.install());
  await button(page, "微信支付").click();
  await cashierOf(page).getByRole("button", { name: "确认支付" }).click();
  await page.route("**/v1/**", (route) => route.abort());
  await page.keyboard.type("123456");
  await cashierOf(page).getByRole("button", { name: "完成" }).click();
  await heading(page, "暂时无法确认支付结果").waitFor();
  await page.getByText("网络不稳定").waitFor();
  await shoot(page, "wechat-checkout-away");
  assert.equal((await shop.read(order.id)).status, "paid");
  assert.equal(await page.getByText("支付成功").count(), 0);
  await page.unroute("**/v1/**");
  await page.clock.fastForward(6000);
  await heading(page, "支付成功").waitFor();
});

test("R7.1 a desktop and a phone at once: one replaces the other, nothing is opened by itself, both say 支付成功", async () => {
  const order = await shop.place();
  const desktop = await newPageIn(browser);
  await desktop.goto(order.url);
  await button(desktop, "微信扫码支付").click();
  await desktop.locator("img[src*='qr.svg']").waitFor();
  const phone = await newPageIn(browser, PHONE);
  await phone.goto(order.wechat_url);
  await phone.getByText("此订单已生成付款二维码。").waitFor();
  await button(phone, "微信支付").click();
  await cashierOf(phone).getByRole("button", { name: "确认支付" }).waitFor();
  await button(desktop, "微信扫码支付").waitFor();
  await desktop.locator("img[src*='qr.svg']").waitFor({ state: "detached" });
  await payInTheCashier(phone);
  await heading(phone, "支付成功").waitFor();
  await heading(desktop, "支付成功").waitFor();
  assert.equal(await shop.payments(order.id), 2);
});

test("two people at once: the second one's payment replaces the first one's, and one is paid", async () => {
  const order = await shop.place();
  const [first, second] = [await newPageIn(browser, PHONE), await newPageIn(browser, PHONE)];
  for (const page of [first, second]) {
    await page.goto(order.wechat_url);
    await button(page, "微信支付").waitFor();
  }
  await second.getByText("模拟微信").first().click();
  await second.getByRole("button", { name: "小红" }).click();
  await button(second, "微信支付").waitFor();
  await second.evaluate(() => sessionStorage.clear()); // somebody else's phone
  await second.reload();
  await button(first, "微信支付").click();
  await cashierOf(first).getByRole("button", { name: "确认支付" }).waitFor();
  await button(second, "微信支付").click();
  await cashierOf(second).getByRole("button", { name: "确认支付" }).waitFor();
  await payInTheCashier(second);
  await heading(second, "支付成功").waitFor();
  await cashierOf(first).getByRole("button", { name: "取消" }).click();
  await heading(first, "支付成功").waitFor();
  assert.equal((await shop.read(order.id)).status, "paid");
});
