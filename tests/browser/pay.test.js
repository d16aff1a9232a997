// From the demo shop to a paid order, as a person clicks.

import assert from "node:assert/strict";
import { test, before, after } from "node:test";

import { launch, newPage as newPageIn, shoot } from "./chromium.js";
import { Everpaid } from "./everpaid.js";

/** @type {import("playwright-core").Browser} */
let browser;
const everpaid = new Everpaid();
let dev;

before(async () => {
  dev = await everpaid.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  assert.equal(await everpaid.stop(), 0, "SIGTERM ends it in order");
});

const newPage = () => newPageIn(browser);

/** Follows the link to the simulated phone and does there what a person does. */
async function onThePhone(page, act) {
  const [phone] = await Promise.all([page.context().waitForEvent("page"), page.getByRole("link", { name: "打开模拟手机付款" }).click()]);
  await phone.getByRole("button", { name: "确认支付" }).waitFor();
  await shoot(phone, "phone");
  await phone.getByRole("button", { name: act }).click();
  if (act === "确认支付") await phone.keyboard.type("123456");
  return phone;
}

test("a person buys tea in the shop and the page says 支付成功", async () => {
  const page = await newPage();
  await page.goto(dev.shop_url);
  await page.locator("#shelf button").first().waitFor();
  await shoot(page, "shop");
  await page.locator("#shelf button").first().click();
  await page.getByRole("button", { name: "微信扫码支付" }).waitFor();
  await shoot(page, "checkout-ready");
  await page.getByRole("button", { name: "微信扫码支付" }).click();
  await page.locator("img[src*='qr.svg']").waitFor();
  await shoot(page, "checkout-scan");
  assert.equal(await page.getByText("支付成功").count(), 0);

  const phone = await onThePhone(page, "确认支付");
  await page.getByText("支付成功").first().waitFor();
  await shoot(page, "checkout-paid");
  await shoot(phone, "phone-paid");
  assert.deepEqual(page.problems, []);

  await page.goto(dev.shop_url);
  await page.locator("#ledger").getByText("已支付").first().waitFor();
  await shoot(page, "shop-paid");
});

test("a payer without enough money stays where he can pay again", async () => {
  const page = await newPage();
  await page.goto(dev.shop_url);
  await page.locator("#shelf button").nth(1).click();
  await page.getByRole("button", { name: "微信扫码支付" }).click();
  const phone = await onThePhone(page, "余额不足");
  await phone.getByText("支付失败：余额不足").waitFor();
  assert.equal(await page.getByText("支付成功").count(), 0);
  await phone.close();
  await onThePhone(page, "确认支付");
  await page.getByText("支付成功").first().waitFor();
  assert.deepEqual(page.problems, []);
});

test("killed while the QR code is shown and started again, it goes on", async () => {
  const page = await newPage();
  await page.goto(dev.shop_url);
  await page.locator("#shelf button").nth(2).click();
  await page.getByRole("button", { name: "微信扫码支付" }).click();
  await page.locator("img[src*='qr.svg']").waitFor();
  await everpaid.kill();
  dev = await everpaid.start();
  await onThePhone(page, "确认支付");
  await page.getByText("支付成功").first().waitFor();
});

test("a link that nobody made says so", async () => {
  const page = await newPage();
  await page.goto(`${dev.api_url}/pay/cs_nothing`);
  await page.getByText("链接无效").first().waitFor();
});
