// The simulated phone, in a real browser: what a payer can do with an order.

import assert from "node:assert/strict";
import { test, before, after } from "node:test";

import { button, launch, newPage as newPageIn, shoot } from "./chromium.js";
import { Simulator } from "./simulator.js";

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Simulator} */
let simulator;
let orders = 0;

before(async () => {
  simulator = await Simulator.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await simulator?.stop();
});

const newPage = (options) => newPageIn(browser, options);
const newNumber = () => `PHONE-${String((orders += 1)).padStart(4, "0")}`;

/** A phone on which this code was opened, and the order's number. */
async function phoneWith({ options, description, total } = {}) {
  const number = newNumber();
  const code = await simulator.nativeOrder(number, description, total);
  const page = await newPage(options);
  await page.goto(`${simulator.url}/phone?code_url=${encodeURIComponent(code)}`);
  await button(page, "确认支付").waitFor();
  return { page, number, code };
}

test("a person pays with the password", async () => {
  const { page, number } = await phoneWith({ description: "明前龙井 · 一盒（125 克）", total: 12800 });
  await page.getByText("¥128.00").first().waitFor();
  assert.match(await page.locator("#merchant").textContent(), /山茶小铺/);
  await shoot(page, "phone-pay");
  await button(page, "确认支付").click();
  await page.getByRole("dialog").waitFor();
  for (const digit of "1234") await page.getByRole("dialog").getByRole("button", { name: digit, exact: true }).click();
  await shoot(page, "phone-password");
  await button(page, "退格").click();
  await page.keyboard.type("456");
  await page.getByRole("heading", { name: "支付成功" }).waitFor();
  await shoot(page, "phone-paid");
  const payment = await simulator.payment(number);
  assert.equal(payment.trade_state, "SUCCESS");
  assert.equal(await page.locator("#receipt-transaction").textContent(), payment.transaction_id);
  assert.deepEqual(page.problems, []);
});

test("a wrong password is told, and the next one is right", async () => {
  const { page, number } = await phoneWith();
  await button(page, "确认支付").click();
  await page.keyboard.type("000000");
  await page.getByText("支付密码错误，请重试").waitFor();
  await shoot(page, "phone-wrong-password");
  assert.equal((await simulator.payment(number)).trade_state, "NOTPAY");
  await page.keyboard.type("111111");
  await page.getByRole("heading", { name: "支付成功" }).waitFor();
  assert.deepEqual(await simulator.tries(number), ["wrong_password", "paid"]);
});

test("who closes the password pad has paid nothing", async () => {
  const { page, number } = await phoneWith();
  await button(page, "确认支付").click();
  await page.keyboard.type("123");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.deepEqual(await simulator.tries(number), []);
  await button(page, "确认支付").click();
  await page.keyboard.type("123456");
  await page.getByRole("heading", { name: "支付成功" }).waitFor();
});

test("who cancels can pay after all", async () => {
  const { page, number } = await phoneWith();
  await button(page, "取消").click();
  await page.getByRole("heading", { name: "已取消支付" }).waitFor();
  await shoot(page, "phone-cancelled");
  await button(page, "继续支付").click();
  await button(page, "确认支付").click();
  await page.keyboard.type("123456");
  await page.getByRole("heading", { name: "支付成功" }).waitFor();
  assert.deepEqual(await simulator.tries(number), ["cancelled", "paid"]);
});

test("without enough money the order stays open", async () => {
  const { page, number } = await phoneWith();
  await button(page, "余额不足").click();
  await page.getByRole("heading", { name: "支付失败：余额不足" }).waitFor();
  await shoot(page, "phone-no-balance");
  assert.equal((await simulator.payment(number)).trade_state, "NOTPAY");
  assert.deepEqual(await simulator.tries(number), ["failed"]);
});

test("what is put off waits on the phone", async () => {
  const { page, number } = await phoneWith({ description: "茉莉花茶 · 两罐" });
  await button(page, "稍后支付").click();
  await page.getByText("订单留在手机的待付款里").waitFor();
  await page.goto(`${simulator.url}/phone`);
  await page.locator("#waiting button").filter({ hasText: "茉莉花茶" }).waitFor();
  await shoot(page, "phone-waiting");
  await page.locator("#waiting button").filter({ hasText: "茉莉花茶" }).click();
  await button(page, "确认支付").click();
  await page.keyboard.type("123456");
  await page.getByRole("heading", { name: "支付成功" }).waitFor();
  await button(page, "完成").click();
  await page.locator("#waiting button").filter({ hasText: "茉莉花茶" }).waitFor({ state: "detached" });
  assert.deepEqual(await simulator.tries(number), ["put_off", "paid"]);
});

test("a code belongs to whoever scanned it first", async () => {
  const { code } = await phoneWith();
  const hers = await newPage();
  await hers.goto(`${simulator.url}/phone`);
  await hers.getByLabel("手机在谁手里").selectOption({ label: "小红" });
  await hers.getByLabel("粘贴 code_url").fill(code);
  await button(hers, "下一步").click();
  await hers.getByText("商家订单信息有误").waitFor();
  await shoot(hers, "phone-scanned-by-other");
  assert.equal(await button(hers, "确认支付").isDisabled(), true);
  assert.deepEqual(hers.problems, []);
});

test("a code of nobody's says so", async () => {
  const page = await newPage();
  await page.goto(`${simulator.url}/phone`);
  await page.getByLabel("粘贴 code_url").fill("weixin://wxpay/bizpayurl?pr=nothing");
  await button(page, "下一步").click();
  await page.getByRole("alert").getByText("二维码无效").waitFor();
});

test("everything can be done with the keyboard, in English, in the dark, on a small screen", async () => {
  const options = { viewport: { width: 360, height: 640 }, colorScheme: "dark" };
  const { page, number } = await phoneWith({ options, description: "Jasmine tea, two tins" });
  await button(page, "English").press("Enter");
  await page.locator("#pay").focus();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Confirm and pay");
  await shoot(page, "phone-dark-english");
  await page.keyboard.press("Enter");
  await page.keyboard.type("123456");
  await page.getByRole("heading", { name: "Paid" }).waitFor();
  await shoot(page, "phone-dark-english-paid");
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360, "nothing sticks out");
  assert.equal((await simulator.payment(number)).trade_state, "SUCCESS");
  assert.deepEqual(page.problems, []);
});

test("the page that opened the phone hears what came of it", async () => {
  const code = await simulator.nativeOrder(newNumber());
  const page = await newPage();
  // Any page of the same machine will do.
  await page.goto(`${simulator.url}/_sim/payers`);
  const heard = page.evaluate(
    (phone) =>
      new Promise((resolve) => {
        addEventListener("message", ({ data }) => resolve(data), { once: true });
        const frame = document.createElement("iframe");
        frame.src = phone;
        document.body.append(frame);
      }),
    `${simulator.url}/phone?code_url=${encodeURIComponent(code)}`,
  );
  await page.frameLocator("iframe").locator("[data-do=cancel]").click();
  const { source, outcome, out_trade_no } = await heard;
  assert.deepEqual([source, outcome, out_trade_no], ["wechat-pay-simulator", "cancel", `PHONE-${String(orders).padStart(4, "0")}`]);
});
