// The library without a browser around it: what it asks for, and that it stops.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const NOW = Date.now();
const at = (ms) => new Date(NOW + ms).toISOString();
const ORDER = {
  id: "ord_1", status: "pending", amount: { total: 1, currency: "CNY" }, description: "tea", created_at: at(0),
  expires_at: at(3600000), paid_at: null, return_url: null, merchant: { name: "shop" }, payment: null,
};
const PAYMENT = { id: "pay_1", order_id: "ord_1", method: "native", status: "created", created_at: at(0) };

/** As much of a browser as the library touches. Requests wait in `asked` until they are answered. */
function browser() {
  const asked = [];
  const events = { hidden: false, addEventListener() {}, removeEventListener() {} };
  const location = { href: "https://shop.example/cart" };
  const sessionStorage = { getItem: () => null, setItem() {}, removeItem() {} };
  Object.assign(globalThis, { document: events, location, sessionStorage, addEventListener() {}, removeEventListener() {} });
  globalThis.window = globalThis;
  globalThis.fetch = (url, { method }) =>
    new Promise((resolve, reject) => {
      const answer = (status, told) => resolve(new Response(JSON.stringify(told), { status, headers: { Date: new Date(NOW).toUTCString() } }));
      asked.push({ what: method + " " + new URL(url).pathname, answer, lose: () => reject(new TypeError("network")) });
    });
  return asked;
}

const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

test("a checkout that is closed calls nobody back, and asks nothing more", { timeout: 10_000 }, async (t) => {
  const asked = browser();
  const { openCheckout } = await import("../everpaid.js");
  const seen = [];
  const checkout = openCheckout({ client_secret: "cs_1", api_url: "https://pay.example", onChange: (state) => seen.push(state.name), onPaid: () => seen.push("onPaid") });
  t.after(() => checkout.close());
  asked.shift().answer(200, { order: ORDER });
  await settled();
  checkout.pay();
  const opening = asked.shift();
  assert.equal(opening.what, "POST /v1/orders/ord_1/payments");
  assert.deepEqual(seen, ["ready", "opening"]);
  checkout.again();
  const reading = asked.shift();
  checkout.close();
  opening.answer(200, { payment: PAYMENT });
  reading.answer(200, { order: { ...ORDER, status: "paid" } });
  await settled();
  assert.deepEqual(seen, ["ready", "opening"]);
  assert.deepEqual(asked, []);
});

test("what happens to the order ends the wait for its payment", { timeout: 10_000 }, async (t) => {
  const asked = browser();
  const heard = {};
  globalThis.EventSource = class {
    addEventListener(name, act) {
      heard[name] = act;
    }
    close() {}
  };
  t.after(() => delete globalThis.EventSource);
  const { openCheckout } = await import("../everpaid.js");
  const checkout = openCheckout({ client_secret: "cs_1", api_url: "https://pay.example" });
  t.after(() => checkout.close());
  asked.shift().answer(200, { order: ORDER });
  await settled();
  checkout.pay();
  asked.shift().answer(202, { payment: PAYMENT });
  await settled();
  assert.deepEqual(asked, [], "it waits as long as the server said");
  heard.order();
  await settled();
  const [reading] = asked.filter(({ what }) => what === "GET /v1/payments/pay_1");
  reading.answer(200, { payment: { ...PAYMENT, status: "awaiting_payment", code_url: "weixin://a", code_url_expires_at: at(600000) } });
  await settled();
  assert.equal(checkout.state.name, "scan");
});

test("all files of the page together come over the wire in less than 50 KB", () => {
  const folder = new URL("../", import.meta.url);
  const files = readdirSync(folder).filter((name) => /\.(js|css|svg|html)$/.test(name));
  const bytes = files.reduce((sum, name) => sum + gzipSync(readFileSync(new URL(name, folder))).length, 0);
  assert.ok(files.length > 8 && bytes < 50_000, files.length + " files, " + bytes + " bytes");
});
