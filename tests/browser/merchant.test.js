// The merchant's view: it shows what happens at the simulator as it happens, and starts and stops troubles.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test, before, after } from "node:test";

import { launch, newPage as newPageIn, shoot } from "./chromium.js";
import { Simulator } from "./simulator.js";

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Simulator} */
let simulator;
const merchant = { answers: [] };

before(async () => {
  simulator = await Simulator.start();
  merchant.server = createServer((request, response) => {
    const [status, body] = merchant.answers.shift() ?? [204, ""];
    response.writeHead(status).end(body);
  });
  await new Promise((listening) => merchant.server.listen(0, "127.0.0.1", listening));
  simulator.notifyUrl = `http://127.0.0.1:${merchant.server.address().port}/notify`;
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await simulator?.stop();
  merchant.server?.closeAllConnections();
  merchant.server?.close();
});

const row = (page, number) => page.locator("#orders .entry").filter({ hasText: number });

test("an order, its payment and every delivery appear by themselves", async () => {
  const page = await newPageIn(browser);
  await page.goto(simulator.url);
  await page.getByText("实时").waitFor();
  await simulator.nativeOrder("VIEW-0001", "白毫银针 · 礼盒", 88800);
  await row(page, "VIEW-0001").getByText("待支付").waitFor();
  await row(page, "VIEW-0001").locator("summary").click();
  await row(page, "VIEW-0001").getByText("weixin://").waitFor();
  merchant.answers.push([500, '{"code":"FAIL","message":"库存服务不可用"}']);
  await simulator.control("payments/VIEW-0001/cancel", {});
  await simulator.control("payments/VIEW-0001/pay", {});
  // The row stays open while it changes.
  await row(page, "VIEW-0001").getByText("库存服务不可用").waitFor();
  await row(page, "VIEW-0001").getByText("已支付").first().waitFor();
  await row(page, "VIEW-0001").getByText("取消").waitFor();
  await page.locator("#notifications .entry").getByText("等待重试").waitFor();
  await page.getByRole("button", { name: "+1 分钟" }).click();
  await page.locator("#notifications .entry").getByText("已送达").waitFor();
  assert.match(await page.locator("#taken").textContent(), /¥888\.00/);
  await shoot(page, "merchant-view");
  assert.deepEqual(page.problems, []);
});

test("a refund is shown, and how it ends is chosen", async () => {
  const page = await newPageIn(browser);
  await page.goto(simulator.url);
  await simulator.nativeOrder("VIEW-0003", "茉莉花茶", 3800);
  await simulator.control("payments/VIEW-0003/pay", {});
  await simulator.control("payments/VIEW-0003/refund", { refund: 800, reason: "少寄了一罐" });
  const refund = page.locator("#refunds .entry").filter({ hasText: "少寄了一罐" });
  await refund.getByText("退款中").waitFor();
  await shoot(page, "merchant-view-refund");
  await refund.getByRole("button", { name: "成功" }).click();
  await refund.getByText("已退款").waitFor();
  await page.locator("#taken").filter({ hasText: "已退 ¥8.00" }).waitFor();
  assert.deepEqual(page.problems, []);
});

test("a fault is started, strikes and is stopped", async () => {
  const page = await newPageIn(browser);
  await page.goto(simulator.url);
  await page.getByLabel("种类").fill("status_503");
  await page.getByLabel("次数").fill("2");
  await page.getByRole("button", { name: "开始" }).click();
  await page.locator("#faults").getByText("× 2").waitFor();
  await assert.rejects(simulator.nativeOrder("VIEW-0002"), /503/);
  await page.locator("#faults").getByText("× 1").waitFor();
  await page.getByRole("button", { name: "停止 status_503" }).click();
  await page.getByText("没有，一切正常。").waitFor();
  await simulator.nativeOrder("VIEW-0002");
  await row(page, "VIEW-0002").waitFor();
  assert.deepEqual(page.problems, []);
  await page.getByLabel("种类").fill("earthquake");
  await page.getByRole("button", { name: "开始" }).click();
  await page.getByRole("alert").waitFor();
});

test("the view is the same in English, in the dark and on a small screen", async () => {
  const page = await newPageIn(browser, { viewport: { width: 390, height: 844 }, colorScheme: "dark" });
  await page.goto(simulator.url);
  await page.getByRole("button", { name: "English" }).click();
  await row(page, "VIEW-0001").getByText("Paid").first().waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390, "nothing sticks out");
  await shoot(page, "merchant-view-dark-english");
  await row(page, "VIEW-0002").getByRole("link", { name: "Pay by phone" }).click();
  await page.getByRole("button", { name: "Confirm and pay" }).waitFor();
  assert.deepEqual(page.problems, []);
});

test("every page has its words in both languages", async () => {
  const page = await newPageIn(browser);
  for (const path of ["/", "/phone", "/mini-program", "/assets/mini-program-demo.html", "/assets/authorize.html"]) {
    await page.goto(simulator.url + path);
    const { chinese, english, used } = await page.evaluate(async () => {
      const { WORDS } = await import("/assets/words.js");
      const used = [...document.querySelectorAll("[data-t], [data-t-label]")].map(({ dataset }) => dataset.t ?? dataset.tLabel);
      return { chinese: Object.keys(WORDS["zh-CN"]).sort(), english: Object.keys(WORDS.en).sort(), used };
    });
    assert.deepEqual(english, chinese);
    assert.deepEqual(used.filter((key) => !chinese.includes(key)), [], path);
  }
});
