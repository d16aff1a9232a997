// The simulated mini-program: a developer's page logs its payer in and pays, through its own back end.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test, before, after } from "node:test";

import { launch, newPage as newPageIn, shoot } from "./chromium.js";
import { Simulator } from "./simulator.js";

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Simulator} */
let simulator;
const developer = { numbers: [], spoil: (fields) => fields };

const PAGE = () => `<!doctype html><html lang="zh-CN"><meta charset="utf-8"><title>山茶小程序</title>
<body style="font:17px system-ui;padding:24px"><h1>山茶小程序</h1><button id="buy">买茶</button><p id="answer"></p>
<script src="${simulator.url}/assets/mini-program.js"></script>
<script>
  const show = (text) => (document.getElementById("answer").textContent = text);
  document.getElementById("buy").addEventListener("click", () => wx.login({ success: async ({ code }) => {
    const fields = await (await fetch("/buy?code=" + code, { method: "POST" })).json();
    const said = [];
    wx.requestPayment({ ...fields, success: () => said.push("success"), fail: () => said.push("fail"), complete: ({ errMsg }) => show(said + " " + errMsg) });
  } }));
</script>`;

before(async () => {
  simulator = await Simulator.start();
  browser = await launch();
  developer.server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://developer");
    if (url.pathname !== "/buy") return response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(PAGE());
    const { appid, secret } = simulator.merchant.apps[1];
    const session = await (await fetch(`${simulator.url}/sns/jscode2session?appid=${appid}&secret=${secret}&js_code=${url.searchParams.get("code")}&grant_type=authorization_code`)).json();
    const number = `MINI-${1000 + developer.numbers.length}`;
    developer.numbers.push(number);
    // A mini-program knows its own appid.
    const { appId, ...fields } = await simulator.jsapiCallUp(number, session.openid, appid);
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(developer.spoil(fields)));
  });
  await new Promise((listening) => developer.server.listen(0, "127.0.0.1", listening));
  developer.url = `http://127.0.0.1:${developer.server.address().port}/`;
});

after(async () => {
  await browser?.close();
  await simulator?.stop();
  developer.server?.closeAllConnections();
  developer.server?.close();
});

async function enter(spoil = (fields) => fields) {
  developer.spoil = spoil;
  const page = await newPageIn(browser);
  await page.goto(`${simulator.url}/mini-program?page=${encodeURIComponent(developer.url)}`);
  const inside = page.frameLocator("#page");
  const cashier = page.frameLocator("#cashier iframe");
  await inside.getByRole("button", { name: "买茶" }).click();
  return { page, cashier, answered: (text) => inside.locator("#answer").filter({ hasText: text }).waitFor() };
}

test("a developer's page logs in by its back end and pays", async () => {
  const { page, cashier, answered } = await enter();
  await cashier.getByRole("button", { name: "确认支付" }).waitFor();
  await shoot(page, "mini-program-cashier");
  await cashier.getByRole("button", { name: "确认支付" }).click();
  await page.keyboard.type("123456");
  await cashier.getByRole("button", { name: "完成" }).click();
  await answered(/^success requestPayment:ok$/);
  const payment = await simulator.payment(developer.numbers.at(-1));
  assert.equal(payment.trade_state, "SUCCESS");
  assert.equal(payment.appid, simulator.merchant.apps[1].appid);
  assert.deepEqual(page.problems, []);
});

test("who cancels is a fail to the page", async () => {
  const { cashier, answered } = await enter();
  await cashier.getByRole("button", { name: "取消" }).click();
  await answered(/^fail requestPayment:fail cancel$/);
});

test("a field that is missing is named", async () => {
  const { answered } = await enter(({ timeStamp, ...fields }) => fields);
  await answered("fail requestPayment:fail parameter error: parameter.timeStamp should be String instead of Undefined;");
});

test("a wrong paySign is refused", async () => {
  const { page, cashier, answered } = await enter((fields) => ({ ...fields, paySign: "AAAA" }));
  await cashier.getByRole("heading", { name: "支付验证签名失败" }).waitFor();
  await shoot(page, "mini-program-wrong-sign");
  await cashier.getByRole("button", { name: "知道了" }).click();
  await answered("fail requestPayment:fail 支付验证签名失败");
});

test("the demo pays a fen and believes the shop, not the client", async () => {
  const page = await newPageIn(browser);
  await page.goto(`${simulator.url}/mini-program`);
  await page.getByLabel("手机在谁手里").selectOption({ label: "小红" });
  const inside = page.frameLocator("#page");
  await inside.getByRole("button", { name: "立即购买" }).click();
  const cashier = page.frameLocator("#cashier iframe");
  await cashier.getByRole("button", { name: "取消" }).click();
  await inside.getByText("支付未完成").waitFor();
  await inside.getByRole("button", { name: "立即购买" }).click();
  await cashier.getByRole("button", { name: "确认支付" }).click();
  await page.keyboard.type("123456");
  await cashier.getByRole("button", { name: "完成" }).click();
  await inside.getByText("支付成功").waitFor();
  await shoot(page, "mini-program-demo");
  const { payments } = await simulator.control("payments?limit=1");
  assert.equal(payments[0].trade_state, "SUCCESS");
  assert.deepEqual(page.problems, []);
});
