// The same link wherever it is opened: every place has a way to pay, or a way out. And a shop's own page.
// The numbers are those of docs/requirements.md.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { prepareZXingModule, readBarcodes } from "zxing-wasm/reader";

import { button, heading, newPage as newPageIn, shoot } from "./chromium.js";
import { cashierOf } from "./shop.js";
import { browser, dev, shop } from "./system.js";
import { IN } from "./user-agents.js";

async function openIn(where, fields) {
  const order = await shop.place(fields);
  const page = await newPageIn(browser, where);
  await page.goto(order.url);
  return { order, page };
}

async function scanAndPay(order, page) {
  await page.locator("img[src*='qr.svg']").waitFor();
  await shop.atWechat(order.id, "/pay");
  await heading(page, "支付成功").waitFor();
  assert.equal((await shop.read(order.id)).payment.method, "native");
  assert.deepEqual(page.problems, []);
}

test("R4.2 R4.5 R7.1 R7.3 outside WeChat the tap shows a QR code, as before", async () => {
  const { order, page } = await openIn(IN.desktop);
  assert.equal(await button(page, "微信支付").count(), 0);
  await button(page, "微信扫码支付").click();
  await scanAndPay(order, page);
});

test("R4.2 a phone's browser: the link to open in WeChat is beside the QR code", async () => {
  const { order, page } = await openIn({ ...IN.phone, permissions: ["clipboard-read", "clipboard-write"] });
  await heading(page, "正在用这台手机付款？").waitFor();
  await button(page, "复制链接，在微信中打开").click();
  await page.getByText("已复制").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), order.url);
  await button(page, "微信扫码支付").click();
  await button(page, "复制链接，在微信中打开").waitFor();
  await scanAndPay(order, page);
});

/** Screens that a QR code is scanned from. */
const SCREENS = {
  "a desktop": IN.desktop,
  "a desktop in the dark": { ...IN.desktop, colorScheme: "dark" },
  "a phone of 320 px": { ...IN.phone, viewport: { width: 320, height: 640 }, deviceScaleFactor: 2 },
  "a phone of 320 px in the dark, at 200 %": { ...IN.phone, viewport: { width: 320, height: 640 }, colorScheme: "dark", size: "200%" },
};

test("P6 the QR code on the screen says the code_url, and has room around it: desktop and phone, light and dark, at 200 %", async () => {
  prepareZXingModule({ overrides: { wasmBinary: await readFile(fileURLToPath(import.meta.resolve("zxing-wasm/reader/zxing_reader.wasm"))) } });
  const { order, page } = await openIn(IN.desktop);
  await button(page, "微信扫码支付").click();
  await page.locator("img[src*='qr.svg']").waitFor();
  const { code_url } = (await shop.read(order.id)).payment;
  for (const [name, { size = "", ...where }] of Object.entries(SCREENS)) {
    const screen = await newPageIn(browser, where);
    await screen.goto(order.url);
    await screen.evaluate((size) => (document.documentElement.style.fontSize = size), size);
    const code = screen.locator("img[src*='qr.svg']");
    await code.evaluate((img) => img.decode());
    assert.ok((await code.boundingBox()).width >= 200, `${name}: less than 200 px wide`);

    // The whole screen, as a phone's camera sees it; not all of them read light on dark.
    const seen = await screen.screenshot({ fullPage: true });
    const [found, ...others] = await readBarcodes(new Blob([seen]), { formats: ["QRCode"], tryInvert: false });
    assert.equal(found?.text, code_url, name);
    assert.deepEqual(others, [], name);
    const { light, module } = await roomAround(found, seen);
    assert.ok(light >= 4 * module - 1, `${name}: ${light} px of quiet zone, a module is ${module} px`);
    await screen.context().close();
  }
  await scanAndPay(order, page);
});

/** How many pixels around a code that was found are light, on every side; and how many a module of it has. */
async function roomAround({ position: { topLeft, topRight, bottomRight }, version }, png) {
  const { x: left, y: top } = topLeft;
  const [right, bottom] = [bottomRight.x, bottomRight.y];
  const module = (topRight.x - left) / (17 + 4 * Number(version));
  const blank = await browser.newPage();
  const light = await blank.evaluate(async ([png, left, top, right, bottom]) => {
    const picture = await createImageBitmap(await (await fetch(png)).blob());
    const pixels = new OffscreenCanvas(picture.width, picture.height).getContext("2d", { willReadFrequently: true });
    pixels.drawImage(picture, 0, 0);
    const isLight = (x, y) => pixels.getImageData(x, y, 1, 1).data.every((shade) => shade > 230);
    const across = (y, by) => Array.from({ length: right - left + 2 * by }, (_, n) => [left - by + n, y]);
    const along = (x, by) => Array.from({ length: bottom - top + 2 * by }, (_, n) => [x, top - by + n]);
    // The code's own edge may be a pixel off.
    for (let by = 2; ; by += 1) {
      const ring = [...across(top - by, by), ...across(bottom + by, by), ...along(left - by, by), ...along(right + by, by)];
      if (!ring.every(([x, y]) => isLight(x, y))) return by - 1;
    }
  }, [`data:image/png;base64,${png.toString("base64")}`, left, top, right, bottom]);
  await blank.close();
  return { light, module };
}

test("desktop WeChat: 改用扫码支付, and back", async () => {
  const { order, page } = await openIn(IN.desktopWechat);
  await button(page, "改用扫码支付").click();
  await page.locator("img[src*='qr.svg']").waitFor();
  assert.equal(await button(page, "改回微信支付").count(), 1);
  await scanAndPay(order, page);
});

test("企业微信 is an ordinary browser with a way out", async () => {
  const { order, page } = await openIn(IN.wxwork);
  await heading(page, "您正在企业微信中浏览").waitFor();
  assert.equal(await button(page, "复制链接，在微信中打开").count(), 1);
  await button(page, "微信扫码支付").click();
  await scanAndPay(order, page);
});

test("a mini-program's web-view says that it cannot pay, and where one can", async () => {
  const { order, page } = await openIn(IN.miniProgram);
  await page.getByText("小程序内的网页不能直接付款").waitFor();
  assert.equal(await button(page, "微信支付").count(), 0);
  assert.equal(await button(page, "复制链接，在电脑上打开").count(), 1);
  await button(page, "微信扫码支付").click();
  await scanAndPay(order, page);
});

test("a paid order is a receipt and a closed one says so, wherever the link is opened", async () => {
  const { order, page } = await openIn(IN.desktop);
  await button(page, "微信扫码支付").click();
  await scanAndPay(order, page);
  const closed = await shop.place();
  await shop.close(closed.id);
  for (const where of Object.values(IN)) {
    const another = await newPageIn(browser, where);
    await another.goto(order.url);
    await heading(another, "支付成功").waitFor();
    await another.goto(closed.url);
    await heading(another, "订单已关闭").waitFor();
    assert.equal(await another.getByRole("button", { name: /支付|Pay/ }).count(), 0);
    await another.context().close();
  }
});

test("a wrong, a foreign and a broken link look the same, and show nothing of anybody", async () => {
  const { client_secret } = await shop.place();
  const page = await newPageIn(browser);
  for (const secret of ["cs_nothing", client_secret.slice(0, -1) + "_", client_secret.slice(0, 29), "%00", "a".repeat(3000)]) {
    const response = await page.goto(`${dev.api_url}/pay/${secret}`);
    assert.equal(response.status(), 404, secret.slice(0, 40));
    await heading(page, "链接无效").waitFor();
  }
  await shoot(page, "notice-link-not-valid");
});

test("the first answer paints: nothing else is asked for before, and the parts are kept for good", async () => {
  const order = await shop.place();
  const page = await newPageIn(browser);
  await page.route("**/checkout/**", () => {}); // no part ever comes
  await page.goto(order.url, { waitUntil: "commit" });
  await page.locator(".spinner").waitFor();
  await page.getByText("山茶小铺").waitFor();
  assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector(".ticket")).maxWidth), "960px");
  const html = await fetch(order.url);
  const [, part] = (await html.text()).match(/src="([^"]+main\.js)"/);
  const kept = await fetch(dev.api_url + part, { headers: { "accept-encoding": "gzip" } });
  assert.equal(kept.headers.get("cache-control"), "public, max-age=31536000, immutable");
  assert.equal(kept.headers.get("content-encoding"), "gzip");
});

// --- A shop's own page -------------------------------------------------------------------------

/** The demo shop's own page, which is made of everpaid.js and on the merchant's list of origins. */
async function onTheShopsPage(where, prepare = async () => {}) {
  const { checkout_url } = await (await fetch(`${dev.shop_url}/buy`, { method: "POST", headers: { "content-type": "application/json" }, body: '{"product":"jasmine"}' })).json();
  const { orders } = await (await fetch(`${dev.shop_url}/orders`)).json();
  const order = orders.find((one) => one.checkout_url === checkout_url);
  const page = await newPageIn(browser, where);
  await prepare(page, order);
  const own = `${dev.shop_url}/own?order=${order.merchant_order_no}`;
  await page.goto(own);
  return { order, page, own };
}

test("R6.5 a shop's own page shows the QR code, and does what comes next when the server says paid", async () => {
  const { order, page } = await onTheShopsPage(IN.desktop);
  await button(page, "付款").click();
  await page.waitForFunction(() => document.getElementById("code").naturalWidth > 0);
  await shoot(page, "shop-own-page");
  assert.ok(await page.locator("#thanks").isHidden());
  await shop.atWechat(order.id, "/pay");
  await page.getByText("谢谢惠顾").waitFor();
  await page.getByText("支付成功").waitFor();
  assert.deepEqual(page.problems, []);
});

test("R2.5 R4.1 R5.1 R6.4 R6.5 a shop's own page pays inside WeChat, and gets its payer back where it was", async () => {
  const { order, page, own } = await onTheShopsPage(IN.wechat, async (page, order) => {
    await page.exposeFunction("theyPay", async () => (await shop.atWechat(order.id, "/pay")).trade_state);
    await page.addInitScript(() => {
      const answerOf = (name, fields, state) => (name === "getBrandWCPayRequest" && fields.package && state === "SUCCESS" ? "get_brand_wcpay_request:ok" : "");
      window.WeixinJSBridge = { invoke: (name, fields, answer) => window.theyPay().then((state) => answer({ err_msg: answerOf(name, fields, state) })) };
    });
  });
  await button(page, "付款").click();
  await page.getByText("谢谢惠顾").waitFor();
  assert.equal(page.url(), own);
  assert.equal((await shop.read(order.id)).payment.method, "mini_program");
  assert.deepEqual(page.problems, []);
});

test("R2.5 R4.1 a shop's own page that asks at once is back where it was, with its payer known, before anybody taps", async () => {
  const bridge = () => (window.WeixinJSBridge = { invoke: (name) => (window.called = name) });
  const { order, page, own } = await onTheShopsPage(IN.wechat, async (page) => {
    await page.addInitScript(bridge);
    await page.route("**/own.js", async (route) => {
      const response = await route.fetch();
      const body = (await response.text()).replace("openCheckout({", "openCheckout({ authorize_at_once: true,");
      await route.fulfill({ response, body });
    });
  });
  await page.waitForFunction(() => Object.keys(sessionStorage).some((key) => key.startsWith("everpaid-openid:")));
  await button(page, "付款").waitFor();
  assert.equal(page.url(), own);
  assert.equal((await shop.read(order.id)).payment, null, "nobody has tapped");
  await page.evaluate(() => (window.isTheSame = true));
  await button(page, "付款").click();
  await page.waitForFunction(() => window.called === "getBrandWCPayRequest");
  assert.equal(await page.evaluate(() => window.isTheSame), true, "the tap left the page where it was");
});

// --- The demo shop -----------------------------------------------------------------------------

test("AC1 AC2 UX1 the demo shop's order is paid by QR code, inside WeChat, or in the mini-program", async () => {
  const page = await newPageIn(browser);
  await page.goto(dev.shop_url);
  await page.locator("#shelf button").nth(1).click();
  await button(page, "微信扫码支付").waitFor();
  await page.goto(dev.shop_url);
  await page.getByRole("link", { name: /在模拟的微信浏览器里支付/ }).first().waitFor();
  await shoot(page, "shop-ways");
  const id = new URL(await page.getByRole("link", { name: /在电脑上扫码支付/ }).first().getAttribute("href")).pathname;

  await page.getByRole("link", { name: /在模拟的微信浏览器里支付/ }).first().click();
  await button(page, "微信支付").click();
  await cashierOf(page).getByRole("button", { name: "取消" }).click();
  await page.getByText("支付未完成，可重新支付。").waitFor();
  assert.ok(page.url().endsWith(id));

  await page.goto(dev.shop_url);
  await page.getByRole("link", { name: /在模拟的小程序里支付/ }).first().click();
  const inside = page.frameLocator("#page");
  await inside.getByRole("heading", { name: "茉莉银毫" }).waitFor();
  await inside.getByRole("button", { name: "微信支付" }).click();
  const cashier = page.frameLocator("#cashier iframe");
  await cashier.getByRole("button", { name: "取消" }).click();
  await inside.getByText("支付未完成，可重新支付。").waitFor();
  await inside.getByRole("button", { name: "微信支付" }).click();
  await cashier.getByRole("button", { name: "确认支付" }).click();
  await page.keyboard.type("123456");
  await cashier.getByRole("button", { name: "完成" }).click();
  await inside.getByText("支付成功").waitFor();
  await shoot(page, "shop-mini-program");
  await page.goto(dev.shop_url);
  await page.locator("#ledger").getByText("已支付").first().waitFor();
});
