// The page hears how it ends, whatever the browser, the network and the payer's habits do to it.
// The numbers are those of docs/requirements.md and of what payers expect (P9, P15).

import assert from "node:assert/strict";
import { test } from "node:test";

import { button, heading, launch, newPage as newPageIn, openWindow } from "./chromium.js";
import { cashierOf, payInTheCashier } from "./shop.js";
import { browser, dev, everpaid, shop } from "./system.js";
import { IN } from "./user-agents.js";

/** A desktop's page that shows a QR code. */
async function atTheCode(prepare = async () => {}, newTab = () => newPageIn(browser)) {
  const order = await shop.place();
  const page = await newTab();
  await prepare(page);
  await page.goto(order.url);
  await button(page, "微信扫码支付").click();
  await page.locator("img[src*='qr.svg']").waitFor();
  return { order, page };
}

/** The payer pays with the phone, and the server has heard of it. */
async function payByPhone(order) {
  await shop.atWechat(order.id, "/pay");
  while ((await shop.read(order.id)).status !== "paid");
}

test("P9 a browser that knows no EventSource asks, and hears of it all the same", async () => {
  const streams = [];
  const { order, page } = await atTheCode(async (page) => {
    await page.addInitScript(() => delete window.EventSource);
    page.on("request", (request) => request.url().includes("/events") && streams.push(request));
  });
  assert.equal(await page.evaluate(() => typeof EventSource), "undefined");
  await shop.atWechat(order.id, "/pay");
  await heading(page, "支付成功").waitFor();
  assert.deepEqual(streams, []);
  assert.deepEqual(page.problems, []);
});

test("P9 the network is away while the payer pays: the page says so, and goes on when it is back", async () => {
  const { order, page } = await atTheCode();
  await page.context().setOffline(true);
  await page.getByText("网络不稳定，正在重新连接…").waitFor();
  await shop.atWechat(order.id, "/pay");
  assert.equal(await page.getByText("支付成功").count(), 0);
  await page.context().setOffline(false);
  await heading(page, "支付成功").waitFor();
  await page.getByText("网络不稳定，正在重新连接…").waitFor({ state: "hidden" });
});

test("P9 without any network the page says so from the start, and shows the order when it is back", async () => {
  const order = await shop.place();
  const page = await newPageIn(browser);
  await page.route("**/v1/**", (route) => route.abort());
  await page.goto(order.url);
  await heading(page, "网络连接不上").waitFor();
  await page.unroute("**/v1/**");
  await button(page, "重新连接").click();
  await heading(page, "待支付").waitFor();
});

test("P9 an answer that breaks off is no answer: the page says that the network is bad, not that somebody may have paid", async () => {
  const order = await shop.place();
  const page = await newPageIn(browser);
  await page.addInitScript(() => delete window.EventSource);
  const breakOff = () => page.route(`**/v1/orders/${order.id}`, (route) => route.fulfill({ contentType: "application/json", body: '{"order":{"id":' }));
  await breakOff();
  await page.goto(order.url);
  await heading(page, "网络连接不上").waitFor({ timeout: 10_000 });
  await page.unroute(`**/v1/orders/${order.id}`);
  await button(page, "重新连接").click();
  await heading(page, "待支付").waitFor();

  await breakOff();
  await page.getByText("网络不稳定，正在重新连接…").waitFor({ timeout: 10_000 });
  assert.equal(await button(page, "微信扫码支付").count(), 1);
  await page.unroute(`**/v1/orders/${order.id}`);
  await page.getByText("网络不稳定，正在重新连接…").waitFor({ state: "hidden" });
  assert.equal(await button(page, "微信扫码支付").count(), 1);
  assert.deepEqual(page.problems, []);
});

test("P9 while nobody looks the page asks nothing; looked at again, it is right", async () => {
  const tabs = await openWindow();
  try {
    const reads = [];
    const { order, page } = await atTheCode(async (page) => {
      await page.addInitScript(() => delete window.EventSource);
      await page.clock.install();
      page.on("request", (request) => request.method() === "GET" && /\/v1\/orders\/\w+$/.test(request.url()) && reads.push(request));
    }, tabs.newTab);
    /** How often the page asks in a minute: one more request is told after all that came before it. */
    const asksInAMinute = async () => {
      reads.length = 0;
      await page.clock.fastForward(60_000);
      await page.evaluate(() => fetch(location.href));
      return reads.length;
    };
    assert.ok((await asksInAMinute()) > 0, "looked at, it asks");

    const another = await tabs.newTab();
    await another.bringToFront();
    assert.equal(await page.evaluate(() => document.hidden), true);
    await asksInAMinute(); // what was on its way has arrived
    await payByPhone(order);
    assert.equal(await asksInAMinute(), 0, "hidden, it does not");
    assert.equal(await page.getByText("支付成功").count(), 0);

    await page.bringToFront();
    await heading(page, "支付成功").waitFor();
    assert.deepEqual(page.problems, []);
  } finally {
    await tabs.close();
  }
});

test("P9 asleep while the order is paid and the server starts anew: awake, the page is right", async () => {
  const tabs = await openWindow();
  try {
    const { order, page } = await atTheCode(undefined, tabs.newTab);
    await page.evaluate(() => (window.isTheSame = true));
    const devtools = await tabs.context.newCDPSession(page);
    const another = await tabs.newTab();
    await another.bringToFront();
    await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
    await payByPhone(order);
    await everpaid.kill(); // nobody tells the page again
    await everpaid.start();
    await devtools.send("Page.setWebLifecycleState", { state: "active" });
    await page.bringToFront();
    await heading(page, "支付成功").waitFor();
    assert.equal(await page.evaluate(() => window.isTheSame), true, "nothing was loaded anew");
  } finally {
    await tabs.close();
  }
});

test("P15 the browser keeps the page while the payer is elsewhere: back on it, it is right", async () => {
  // Browsers keep pages for the way back; under test Chromium has to be asked to.
  const keeping = await launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  try {
    const order = await shop.place();
    const page = await newPageIn(keeping);
    // A page that nobody may store is not kept by this Chromium; WeChat's browsers keep it.
    await page.route(order.url, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, headers: { ...response.headers(), "cache-control": "max-age=60" } });
    });
    await page.goto(order.url);
    await page.evaluate(() => addEventListener("pageshow", (event) => (window.wasKept = event.persisted)));
    await button(page, "微信扫码支付").click();
    await page.locator("img[src*='qr.svg']").waitFor();
    await page.goto("about:blank");
    await shop.atWechat(order.id, "/pay");
    await page.goBack({ waitUntil: "commit" }); // nothing is loaded
    await heading(page, "支付成功").waitFor();
    assert.equal(await page.evaluate(() => window.wasKept), true, "it is the page that was left, not a new one");
    assert.equal(await button(page, "微信扫码支付").count(), 0);
  } finally {
    await keeping.close();
  }
});

test("P15 the payer is in the shop while the order is paid: back from there, no button is left", async () => {
  const order = await shop.place();
  const page = await newPageIn(browser, IN.wechat);
  await page.goto(order.wechat_url);
  await button(page, "微信支付").click();
  await cashierOf(page).getByRole("button", { name: "取消" }).click();
  await button(page, "微信支付").waitFor();
  await page.goto(dev.shop_url);
  await payByPhone(order);
  await page.goBack();
  await heading(page, "支付成功").waitFor();
  assert.equal(await button(page, "微信支付").count(), 0);
  assert.equal(await shop.payments(order.id), 1);
});

/** One payer's two tabs inside WeChat, before anybody taps. */
async function twoTabs(prepareSecond = async () => {}) {
  const order = await shop.place();
  const first = await newPageIn(browser, IN.wechat);
  const second = await first.context().newPage();
  await prepareSecond(second);
  for (const page of [first, second]) {
    await page.goto(order.wechat_url);
    await button(page, "微信支付").waitFor();
  }
  await first.bringToFront();
  return { order, first, second };
}

test("P15 one payer's two tabs: paid in one, the other says 支付成功 too, and has no button left", async () => {
  const { order, first, second } = await twoTabs();
  await button(first, "微信支付").click();
  await payInTheCashier(first);
  for (const page of [first, second]) {
    await heading(page, "支付成功").waitFor();
    assert.equal(await button(page, "微信支付").count(), 0);
  }
  assert.equal(await shop.payments(order.id), 1);
});

test("P15 a tap on a button that outlived its order opens no cashier, and leads to 支付成功", async () => {
  const { order, first, second } = await twoTabs((page) => page.addInitScript(() => delete window.EventSource));
  await second.waitForFunction(() => window.WeixinJSBridge);
  await second.evaluate(() => {
    window.asked = [];
    WeixinJSBridge.invoke = (name) => window.asked.push(name);
  });
  await second.route(`**/v1/orders/${order.id}`, (route) => route.abort()); // it hears nothing any more
  await button(first, "微信支付").click();
  await payInTheCashier(first);
  await heading(first, "支付成功").waitFor();
  const answered = second.waitForResponse((response) => response.url().endsWith("/payments"));
  await button(second, "微信支付").click();
  assert.equal((await answered).status(), 409);
  await second.unroute(`**/v1/orders/${order.id}`);
  await heading(second, "支付成功").waitFor();
  assert.deepEqual(await second.evaluate(() => window.asked), []);
  assert.equal(await shop.payments(order.id), 1);
});

test("P15 one payer's two tabs, tapped at once: one payment, and both say 支付成功", async () => {
  const { order, first, second } = await twoTabs();
  await Promise.all([first, second].map((page) => button(page, "微信支付").click()));
  for (const page of [first, second]) await cashierOf(page).getByRole("button", { name: "确认支付" }).waitFor();
  await payInTheCashier(first);
  await heading(first, "支付成功").waitFor();
  await second.bringToFront();
  await cashierOf(second).getByRole("button", { name: "取消" }).click();
  await heading(second, "支付成功").waitFor();
  assert.equal(await shop.payments(order.id), 1);
  assert.equal((await shop.read(order.id)).status, "paid");
});
