// Every state of the page, with answers made up for it: in both languages, light and dark, at 320 px and
// with type at 200 %. Each is checked by axe for WCAG 2.2 AA and for overflow, and kept as a picture,
// target/screenshots/<state>-<zh|en>-<light|dark>[-320][-200].png.

import assert from "node:assert/strict";
import { test, before, after } from "node:test";
import axe from "axe-core";

import { launch, newPage as newPageIn, shoot } from "./chromium.js";
import { Everpaid } from "./everpaid.js";
import { shopOf } from "./shop.js";
import { IN } from "./user-agents.js";

/** @type {import("playwright-core").Browser} */
let browser;
const everpaid = new Everpaid();
let shop;
/** A real order's page, for its HTML; and a real QR code. */
let place;
let qr;

before(async () => {
  const dev = await everpaid.start();
  shop = shopOf(dev);
  place = await shop.place();
  const headers = { authorization: `Bearer ${place.client_secret}`, "content-type": "application/json" };
  const opened = await fetch(`${dev.api_url}/v1/orders/${place.id}/payments`, { method: "POST", headers, body: JSON.stringify({ method: "native" }) });
  const { payment } = await opened.json();
  qr = await (await fetch(`${dev.api_url}/v1/payments/${payment.id}/qr.svg`, { headers })).text();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await everpaid.stop();
});

const NOW = Date.parse("2026-11-22T06:00:00Z");
const at = (minutes) => new Date(NOW + minutes * 60000).toISOString();
const never = () => new Promise(() => {});

const payment = (status, more) => ({ id: "pay_1", order_id: "ord_1", method: "native", status, created_at: at(-5), ...more });
const SCANNABLE = payment("awaiting_payment", { code_url: "weixin://wxpay/bizpayurl?pr=a", code_url_expires_at: at(100) });
const CALL_UP = { appId: "wx1", timeStamp: "1", nonceStr: "n", package: "prepay_id=wx1", signType: "RSA", paySign: "s" };
const CALLABLE = payment("awaiting_payment", { method: "mini_program", call_up: CALL_UP });

const MERCHANT = { name: "山茶小铺", support: "客服电话 020-0000-0000（9:00–21:00）" };
const order = (status = "pending", payment = null, more = {}) => ({
  id: place.id,
  status,
  amount: { total: 128000, currency: "CNY" },
  description: "明前龙井 · 一盒（125 克），礼盒装",
  created_at: at(-5),
  expires_at: at(115),
  paid_at: null,
  return_url: "https://shop.example/orders/7",
  merchant: MERCHANT,
  payment,
  ...more,
});

const afterTheTap = (asked) => order("pending", asked ? CALLABLE : null);
const paid = (status) => order(status, payment("succeeded", { transaction_id: "4200001234202611221234567890" }), { paid_at: at(0) });
/** All that the server tells of an order seven days after it came to rest. */
const atRest = (status) => ({ id: place.id, status, amount: { total: 128000, currency: "CNY" }, merchant: MERCHANT });
const tap = (name) => (page) => page.getByRole("button", { name, exact: true }).click();
const bridge = (answers) => `window.WeixinJSBridge = { invoke(name, parameters, answer) { ${answers} } };`;


/**
 * Every state and every dead end: where it is opened, what the server says, and what the payer does.
 * `init` runs in the page before its own scripts; `openid` says that the tab remembers who pays.
 */
const CASES = {
  loading: { order: never },
  offline: { order: () => Promise.reject(new Error("away")) },
  ready: {},
  ready_wechat: { in: IN.wechat, openid: true },
  ready_desktop_wechat: { in: IN.desktopWechat, openid: true },
  ready_cancelled: { in: IN.wechat, openid: true, order: afterTheTap, opens: CALLABLE, init: bridge('answer({ err_msg: "get_brand_wcpay_request:cancel" })'), act: tap("微信支付"), until: "支付未完成，可重新支付。" },
  ready_wxwork: { in: IN.wxwork },
  ready_mini_program: { in: IN.miniProgram },
  authorizing: { in: IN.wechat, left: true, query: "?code=0a&state=b" },
  opening: { act: tap("微信扫码支付") },
  opening_wechat: { in: IN.wechat, openid: true, act: tap("微信支付") },
  scan: { order: () => order("pending", SCANNABLE) },
  scan_not_yet: { order: () => order("pending", SCANNABLE), confirms: SCANNABLE, act: tap("我已支付"), until: "暂未查到付款" },
  scan_phone: { in: IN.phone, order: () => order("pending", SCANNABLE) },
  scan_desktop_wechat: { in: IN.desktopWechat, openid: true, opens: SCANNABLE, order: (asked) => order("pending", asked ? SCANNABLE : null), act: tap("改用扫码支付") },
  qr_expired: { order: () => order("pending", { ...SCANNABLE, code_url_expires_at: at(-1) }) },
  calling: { in: IN.wechat, openid: true, order: afterTheTap, opens: CALLABLE, act: tap("微信支付") },
  silent: { in: IN.wechat, openid: true, order: afterTheTap, opens: CALLABLE, init: "window.hurried_ms = 12000;" + bridge(""), act: tap("微信支付") },
  confirming: { order: () => order("pending", SCANNABLE), act: tap("我已支付") },
  unclear: { order: () => order("pending", SCANNABLE), confirms: { ...SCANNABLE, status: "unknown" }, act: tap("我已支付") },
  failed: { order: () => order("pending", payment("failed", { failure: { code: "NO_AUTH", message: "" } })) },
  failed_wechat: { in: IN.wechat, openid: true, order: afterTheTap, opens: CALLABLE, init: bridge('answer({ err_msg: "get_brand_wcpay_request:fail" })'), act: tap("微信支付") },
  expired: { order: () => order("pending", null, { expires_at: at(-1) }) },
  closing: { order: () => order("closing", SCANNABLE) },
  closed: { order: () => order("closed") },
  closed_long_ago: { order: () => atRest("closed") },
  paid: { order: () => paid("paid") },
  paid_refunded: { order: () => paid("partially_refunded") },
  paid_long_ago: { order: () => atRest("paid") },
  gone: { order: () => null },
};

/** Wherever somebody may have paid without our knowing it, or nothing works, the shop can be reached. */
const HELPED = /^(scan_not_yet|silent|unclear|failed|expired|closing|closed)/;

/** Opens a case and brings it to its state. */
async function reach(name) {
  const { in: where = {}, order: says = () => order(), opens, confirms, query = "", init, openid, left, act, until } = CASES[name];
  const page = await newPageIn(browser, where);
  page.setDefaultTimeout(5000);
  let hasAsked = false;
  const answer = (route, body) =>
    body === null
      ? route.fulfill({ status: 404, contentType: "application/problem+json", body: '{"code":"order_not_found"}' })
      : route.fulfill({ contentType: "application/json", headers: { Date: new Date(NOW).toUTCString() }, body: JSON.stringify(body) });
  await page.route("**/v1/**", async (route) => {
    const request = route.request();
    const { pathname } = new URL(request.url());
    if (pathname.endsWith("/qr.svg")) return route.fulfill({ contentType: "image/svg+xml", body: qr });
    if (pathname.endsWith("/events")) return route.abort();
    if (pathname.endsWith("/openid")) return never();
    if (pathname.endsWith("/payments")) {
      hasAsked = true;
      return opens ? answer(route, { payment: opens }) : never();
    }
    if (pathname.endsWith("/confirm")) return confirms ? answer(route, { payment: confirms }) : never();
    try {
      const told = await says(hasAsked);
      await answer(route, told && { order: told });
    } catch {
      await route.abort();
    }
  });
  await page.addInitScript(stopPatience);
  if (init) await page.addInitScript(init);
  if (openid) {
    await page.addInitScript((key) => sessionStorage.setItem(key, "o1"), await openidKey());
  }
  // As if this tab had left for WeChat's login after a tap.
  if (left) await page.addInitScript((key) => sessionStorage.setItem(key, "1"), `everpaid-authorizations:${place.id}`);
  await page.goto(place.url + query);
  if (act) await act(page);
  const state = name.match(/^(qr_expired|[a-z]+)/)[0];
  await page.locator(`#counter[data-state=${state}]`).waitFor();
  if (until) await page.getByText(until).waitFor();
  return page;
}

/** Runs in the page: whatever waits three seconds or more waits for ever, or a state would pass while it is looked at. */
function stopPatience() {
  const { setTimeout } = window;
  window.setTimeout = (act, ms, ...more) => (ms < 3000 ? setTimeout(act, ms, ...more) : ms === window.hurried_ms ? setTimeout(act) : 0);
}

/** Where a tab keeps the openid for the order of these pages. */
async function openidKey() {
  const html = await (await fetch(place.url)).text();
  return `everpaid-openid:${html.match(/name="everpaid-app" content="(\w+)"/)[1]}:${place.id}`;
}

async function checkWithAxe(page, name) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`), [], name);
}

/** Lays the page out for such a screen and size of type, and sees that it is not wider than that. */
async function fits(page, viewport, size, shot) {
  await page.setViewportSize(viewport);
  await page.evaluate((size) => (document.documentElement.style.fontSize = size), size);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(over <= 0, `${shot} is ${over} px too wide`);
}

const narrow = { width: 320, height: 640 };

for (const name of Object.keys(CASES)) {
  test(`P12 P13 P14 ${name}: zh and en, light and dark, 320 px, type at 200 %`, async () => {
    const page = await reach(name);
    assert.equal(await page.getByText(`联系商家：${MERCHANT.support}`).count(), HELPED.test(name) ? 1 : 0);
    const wide = page.viewportSize();
    for (const language of ["zh", "en"]) {
      if (language === "en") await page.getByRole("button", { name: "Switch to English" }).click();
      assert.equal(await page.evaluate(() => document.documentElement.lang.slice(0, 2)), language);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        for (const [suffix, viewport, size] of [["", wide, ""], ["-200", wide, "200%"], ["-320", narrow, ""], ["-320-200", narrow, "200%"]]) {
          const shot = `${name}-${language}-${colorScheme}${suffix}`;
          await fits(page, viewport, size, shot);
          if (suffix === "" || (suffix === "-320-200" && colorScheme === "light")) await checkWithAxe(page, shot);
          await shoot(page, shot, { fullPage: true });
        }
      }
    }
    assert.deepEqual(page.problems.filter((problem) => !/ 404 /.test(problem)), []);
    await page.context().close();
  });
}

/** How somebody comes to a page of a few words instead: where it is, what it says, and whether it leads back to the order. */
const NOTICES = {
  forged: { status: 400, says: ["授权链接无效", "This sign-in is not valid"], at: () => "/wechat/auth-jump?code=0a&state=b" },
  foreign_return: { status: 400, says: ["无法返回商家页面", "The way back is not allowed"], at: ({ client_secret }) => `/v1/wechat/oauth/authorize?client_secret=${client_secret}&return_to=https%3A%2F%2Fevil.example%2F` },
  link_not_valid: { status: 404, says: ["链接无效", "This link does not work"], at: () => "/pay/cs_nothing" },
  other_browser: { status: 403, says: ["请在原来的页面继续", "This sign-in began elsewhere"], at: async (order) => jump(order, await newPageIn(browser)) },
  too_many: { status: 429, says: ["授权次数过多", "Too many sign-ins"], leadsBack: true, at: afterTooMany },
  too_old: { status: 400, says: ["授权已过期", "The sign-in has expired"], leadsBack: true, at: afterElevenMinutes },
};

/** Begins an authorisation in this page's browser: where WeChat sends it with its answer. */
async function jump({ client_secret }, { request }) {
  const begun = await request.get(new URL(`/v1/wechat/oauth/authorize?client_secret=${client_secret}`, place.url).href, { maxRedirects: 0 });
  const answered = await request.get(begun.headers().location, { maxRedirects: 0 });
  return answered.headers().location;
}

/** More than an order may begin within an hour; the page begins one more. */
async function afterTooMany({ client_secret, url }) {
  const authorize = new URL(`/v1/wechat/oauth/authorize?client_secret=${client_secret}`, place.url);
  for (let begun = 0, status = 0; status !== 429; begun += 1) {
    assert.ok(begun < 1000, "there is an end to it");
    ({ status } = await fetch(authorize, { redirect: "manual" }));
  }
  return url;
}

/** The payer lets WeChat's answer wait; an authorisation is good for ten minutes. */
async function afterElevenMinutes(order, page) {
  const address = await jump(order, page);
  await everpaid.kill();
  await everpaid.start({ ahead: "11m" });
  return address;
}

for (const [name, { status, says, leadsBack, at }] of Object.entries(NOTICES)) {
  test(`P12 P13 P14 P15 in place of the page: ${name}`, async () => {
    const order = await shop.place();
    const page = await newPageIn(browser, IN.wechat);
    const address = new URL(await at(order, page), place.url).href;
    const isIt = (response) => response.request().isNavigationRequest() && response.status() === status;
    await Promise.all([page.waitForResponse(isIt), page.goto(address)]);
    const [chinese, english] = says;
    await page.getByRole("heading", { level: 1, name: chinese, exact: true }).waitFor();
    assert.equal(await page.locator("[lang=en] h2").textContent(), english);
    assert.equal(await page.title(), `${chinese} · ${english}`);
    for (const words of await page.locator("section p").allTextContents()) assert.ok(words.length > 10, words);
    assert.equal(await page.locator("a.button").count(), leadsBack ? 1 : 0);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      for (const [suffix, viewport, size] of [["", IN.wechat.viewport, ""], ["-320-200", narrow, "200%"]]) {
        const shot = `notice-${name}-${colorScheme}${suffix}`;
        await fits(page, viewport, size, shot);
        await checkWithAxe(page, shot);
        await shoot(page, shot, { fullPage: true });
      }
    }
    assert.deepEqual(page.problems.filter((problem) => !problem.startsWith(`${status} `)), []);
    if (!leadsBack) return;
    await page.locator("a.button").click();
    await page.getByRole("heading", { name: "待支付", exact: true }).waitFor();
    await page.getByRole("button", { name: "改用扫码支付", exact: true }).click();
    await page.locator("img[src*='qr.svg']").waitFor();
    assert.equal(new URL(page.url()).pathname, new URL(order.url).pathname);
  });
}
