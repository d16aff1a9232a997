// The simulated WeChat browser: a page that knows nothing of the simulator finds WeChat in it.

import assert from "node:assert/strict";
import { test, before, after } from "node:test";

import { launch, newPage as newPageIn, shoot } from "./chromium.js";
import { Simulator } from "./simulator.js";
import { openShop } from "./wechat-shop.js";

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Simulator} */
let simulator;
let shop;

before(async () => {
  shop = await openShop();
  simulator = shop.simulator = await Simulator.start("--browser-listen", "127.0.0.1:0", "--browser-for", shop.url);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await simulator?.stop();
  shop?.close();
});

/** The shop's page in WeChat, its payer logged in. */
async function inWechat(options = { viewport: { width: 390, height: 800 } }) {
  shop.spoil = (fields) => fields;
  const page = await newPageIn(browser, options);
  await page.goto(simulator.browserUrl);
  await page.locator("#who").filter({ hasText: /^o/ }).waitFor();
  return page;
}

/** Taps the shop's button and returns the cashier. */
async function callUp(page) {
  await page.getByRole("button", { name: "微信支付", exact: true }).click();
  return page.frameLocator("iframe[title=模拟的微信收银台]");
}

const answered = (page, text) => page.locator("#answer").filter({ hasText: text }).waitFor();
const number = () => shop.numbers.at(-1);

test("the page finds MicroMessenger at once and the bridge later", async () => {
  const page = await inWechat();
  const { agent, bridge } = await page.evaluate(() => window.atFirst);
  assert.match(agent, /MicroMessenger\/8/);
  assert.equal(bridge, "undefined");
  await page.waitForFunction(() => window.readyHeard);
  assert.equal(await page.evaluate(() => typeof WeixinJSBridge.invoke), "function");
  const seen = await page.evaluate(async () => (await fetch("/me")).json());
  assert.equal(seen.agent, agent, "the server sees the same");
  assert.equal(new URL(page.url()).origin, simulator.browserUrl, "OAuth led back into WeChat");
  assert.deepEqual(page.problems, []);
});

test("a person pays in the page", async () => {
  const page = await inWechat();
  const cashier = await callUp(page);
  await cashier.getByRole("button", { name: "确认支付" }).waitFor();
  await shoot(page, "wechat-cashier");
  await cashier.getByRole("button", { name: "确认支付" }).click();
  await cashier.getByRole("dialog").waitFor();
  await shoot(page, "wechat-password");
  await page.keyboard.type("123456");
  await cashier.getByRole("heading", { name: "支付成功" }).waitFor();
  await shoot(page, "wechat-paid");
  assert.equal(await page.locator("#answer").textContent(), "", "the page hears nothing before 完成");
  await cashier.getByRole("button", { name: "完成" }).click();
  await answered(page, /^get_brand_wcpay_request:ok$/);
  await shoot(page, "wechat-ok");
  const payment = await simulator.payment(number());
  assert.equal(payment.trade_state, "SUCCESS");
  assert.equal(payment.payer_openid, await page.locator("#who").textContent());
  assert.deepEqual(page.problems, []);
});

test("a person cancels, by the button and by Escape", async () => {
  const page = await inWechat();
  const cashier = await callUp(page);
  await cashier.getByRole("button", { name: "取消" }).click();
  await answered(page, /^get_brand_wcpay_request:cancel$/);
  assert.deepEqual(await simulator.tries(number()), ["cancelled"]);
  await callUp(page);
  await cashier.getByRole("button", { name: "确认支付" }).waitFor();
  await page.keyboard.press("Escape");
  await page.locator("iframe").waitFor({ state: "detached" });
  assert.deepEqual(await simulator.tries(number()), ["cancelled"]);
});

test("a person has not enough money", async () => {
  const page = await inWechat();
  const cashier = await callUp(page);
  await cashier.getByRole("button", { name: "余额不足" }).click();
  await cashier.getByRole("heading", { name: "支付失败：余额不足" }).waitFor();
  await cashier.getByRole("button", { name: "返回商户" }).click();
  await answered(page, /^get_brand_wcpay_request:fail$/);
});

test("what a person puts off is a cancel to the page, and waits on the phone", async () => {
  const page = await inWechat();
  const cashier = await callUp(page);
  await cashier.getByRole("button", { name: "稍后支付" }).click();
  await answered(page, /^get_brand_wcpay_request:cancel$/);
  const { unpaid } = await simulator.control("phone/unpaid");
  assert.equal(unpaid[0].out_trade_no, number());
});

test("a wrong paySign is refused before the cashier opens", async () => {
  const page = await inWechat();
  shop.spoil = (fields) => ({ ...fields, nonceStr: "another" });
  const cashier = await callUp(page);
  await cashier.getByRole("heading", { name: "支付验证签名失败" }).waitFor();
  await shoot(page, "wechat-wrong-sign");
  await cashier.getByRole("button", { name: "知道了" }).click();
  await answered(page, /^get_brand_wcpay_request:fail$/);
  assert.deepEqual(await simulator.tries(number()), []);
});

test("another payer is somebody else to the page, and cannot pay the first one's order", async () => {
  const page = await inWechat({ viewport: { width: 1000, height: 760 }, colorScheme: "dark" });
  const his = await page.locator("#who").textContent();
  await page.getByText("模拟微信 · 小明").click();
  await shoot(page, "wechat-sign");
  await page.getByRole("button", { name: "小红" }).click();
  await page.getByText("模拟微信 · 小红").waitFor();
  // The shop still knows the first one by its cookie.
  await page.locator("#who").filter({ hasText: /^o/ }).waitFor();
  assert.equal(await page.locator("#who").textContent(), his);
  const cashier = await callUp(page);
  await cashier.getByRole("heading", { name: "下单账号与支付账号不一致" }).waitFor();
  await shoot(page, "wechat-other-payer-dark");
  await cashier.getByRole("button", { name: "知道了" }).click();
  await page.context().clearCookies({ name: "sid" });
  await page.reload();
  await page.locator("#who").filter({ hasText: /^o/ }).waitFor();
  assert.notEqual(await page.locator("#who").textContent(), his);
});

test("a link to WeChat's OAuth page opens here", async () => {
  const page = await inWechat();
  const { appid } = simulator.merchant.apps[0];
  const back = encodeURIComponent(`${shop.url}/back`);
  await page.evaluate((link) => (location.href = link), `https://open.weixin.qq.com/connect/oauth2/authorize?appid=${appid}&redirect_uri=${back}&response_type=code&scope=snsapi_userinfo&state=S1#wechat_redirect`);
  await page.getByRole("button", { name: "允许" }).waitFor();
  await shoot(page, "wechat-authorize");
  await page.getByRole("button", { name: "允许" }).click();
  await page.locator("#who").filter({ hasText: /^o/ }).waitFor();
  assert.equal(new URL(page.url()).origin, simulator.browserUrl);
});

test("a mini-program's web-view may not pay", async () => {
  const inMiniProgram = await Simulator.start("--browser-listen", "127.0.0.1:0", "--browser-for", shop.url, "--browser-client", "mini-program");
  shop.simulator = inMiniProgram;
  try {
    const page = await newPageIn(browser);
    await page.goto(inMiniProgram.browserUrl);
    await page.locator("#who").filter({ hasText: /^o/ }).waitFor();
    assert.match(await page.evaluate(() => navigator.userAgent), / miniProgram\/wx\w+$/);
    await page.getByRole("button", { name: "微信支付", exact: true }).click();
    await answered(page, /^system:access_denied$/);
  } finally {
    shop.simulator = simulator;
    await inMiniProgram.stop();
  }
});
