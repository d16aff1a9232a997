// A payer inside WeChat who taps, and how long it takes until WeChat's cashier is called.

import { setTimeout as pause } from "node:timers/promises";

import { newPage } from "../../tests/browser/chromium.js";
import { cashierOf } from "../../tests/browser/shop.js";

/** Longer than the page itself is patient. */
const TAP_MS_MAX = 40000;
/** From then on it is looked whether the page has given up; looking earlier would cost the page time. */
const LOOK_AFTER_MS = 5000;

/** Where everpaid sends a browser on: a page does not hear how long that took. */
const HOPS = new Set(["/v1/wechat/oauth/authorize", "/wechat/auth-jump"]);

const PHONE = { viewport: { width: 390, height: 800 }, hasTouch: true };

/**
 * @typedef {"first"|"again"|"stranger"} Kind
 *   first: the page learnt who the payer is when it was opened, and WeChat is asked for the payment;
 *   again: the cashier was closed, and opens with the same payment;
 *   stranger: what the page asked when it was opened led to nothing: WeChat is asked who the payer is, by
 *   leaving the page and coming back, and for the payment
 *
 * @typedef {object} Tap
 * @property {Kind} kind
 * @property {number} total_ms   from the finger's leaving the glass to the call; Infinity if it never came
 * @property {number} wechat_ms  of that, until WeChat had answered and its bridge was there, if nobody else took any time
 * @property {number} everpaid_ms  of that, the answers of everpaid that were waited for, without WeChat's in them
 * @property {number} lost       answers that never came
 * @property {import("./stopwatch.js").Note[]} notes  the calls to WeChat in between
 * @property {number} began      as `Date.now()` tells it
 * @property {number} ended
 *
 * @typedef {object} Arrival
 * @property {number} total_ms   from opening the link until the button could be tapped, as seen from outside
 * @property {number} wechat_ms  of that, until WeChat had said who the payer is
 */

/**
 * Runs in every page before anything of the page's does. Times are taken where they happen, and on the
 * clock that both documents of a tap share: a tap may begin in one and end in the next.
 */
function measure() {
  if (window !== window.top) return;
  const { timeOrigin } = performance;
  window.addEventListener("pointerup", ({ timeStamp }) => sessionStorage.setItem("bench-tapped", timeOrigin + timeStamp), true);

  let bridge;
  let bridged = 0;
  Object.defineProperty(window, "WeixinJSBridge", {
    get: () => bridge,
    set(given) {
      bridged = performance.now();
      bridge = given;
      const { invoke } = given;
      given.invoke = function (name, ...rest) {
        const called = performance.now();
        if (name === "getBrandWCPayRequest") tell(called);
        return invoke.call(this, name, ...rest);
      };
    },
  });

  function tell(called) {
    const tapped = Number(sessionStorage.getItem("bench-tapped"));
    const asked = performance.getEntriesByType("resource").filter(({ startTime }) => timeOrigin + startTime >= tapped);
    const to = (path) => asked.filter(({ name }) => path.test(new URL(name).pathname));
    const payments = to(/\/payments$|\/v1\/payments\/[^/]+$/);
    const logins = to(/\/oauth\/openid$/);
    // Before the code is used, the order is read; later readings are nobody's to wait for.
    const orders = logins.length ? to(/\/v1\/orders\/[^/]+$/).filter(({ responseEnd }) => responseEnd <= logins[0].startTime) : [];
    const pages = performance.getEntriesByType("navigation").filter(() => timeOrigin >= tapped);
    const waited = [...pages, ...orders, ...logins, ...payments].map(({ requestStart, responseEnd }) => responseEnd - requestStart);
    window.tellBench({
      total_ms: timeOrigin + called - tapped,
      // The bridge comes a while after a page is loaded, whatever the page does meanwhile.
      bridge_ms: pages.length ? bridged - pages[0].domContentLoadedEventStart : 0,
      waited_ms: waited.reduce((sum, took) => sum + took, 0),
    });
  }
}

/**
 * @param {import("playwright-core").Browser} browser
 * @param {ReturnType<typeof import("../../tests/browser/shop.js").shopOf>} shop
 * @param {Awaited<ReturnType<typeof import("./stopwatch.js").startStopwatch>>} stopwatch
 */
export function payers(browser, shop, stopwatch) {
  /** Somebody who was never here: nothing is in the browser's cache. */
  async function newPayer() {
    const page = await newPage(browser, PHONE);
    page.told = () => {};
    await page.exposeFunction("tellBench", (said) => page.told(said));
    await page.addInitScript(measure);
    page.hops_ms = 0;
    page.on("response", (answer) => {
      if (!HOPS.has(new URL(answer.url()).pathname)) return;
      const { requestStart, responseStart } = answer.request().timing();
      page.hops_ms += responseStart - requestStart;
    });
    return page;
  }

  const payButton = (page) => page.getByRole("button", { name: "微信支付", exact: true });

  const took = (calls) => calls.filter(({ lost }) => !lost).reduce((sum, { took_ms }) => sum + took_ms, 0);

  /** Until a person could tap. */
  async function isPainted(page) {
    await payButton(page).waitFor();
    await page.waitForFunction(() => window.WeixinJSBridge);
  }

  /** Until the page says that it did not work, or says nothing for too long. */
  async function givenUp(page) {
    const failed = page.getByRole("heading", { name: "支付未完成", exact: true });
    await failed.waitFor({ timeout: TAP_MS_MAX - LOOK_AFTER_MS }).catch(() => {});
    return null;
  }

  /** @param {Kind} kind @returns {Promise<Tap>} */
  async function tap(page, kind) {
    await stopwatch.notes(); // what was before is nobody's
    page.hops_ms = 0;
    const began = Date.now();
    const called = new Promise((told) => (page.told = told));
    await payButton(page).tap();
    const said = (await Promise.race([called, pause(LOOK_AFTER_MS)])) ?? (await Promise.race([called, givenUp(page)]));
    const ended = Date.now();
    const notes = await stopwatch.notes();
    if (said && !(said.total_ms > 0 && said.total_ms <= ended - began)) {
      throw new Error(`the clocks of two documents disagree: ${said.total_ms} ms of ${ended - began}`);
    }
    if (!said) {
      const shown = await page.locator("h1").textContent().catch(() => "nothing");
      console.error(`  a ${kind} tap never reached the cashier; the page shows: ${shown}`);
    }
    const within = took(notes.filter(({ call }) => call !== "authorize"));
    return {
      kind,
      total_ms: said ? said.total_ms : Infinity,
      wechat_ms: took(notes.filter(({ call }) => call === "authorize")) + Math.max(within, said ? said.bridge_ms : 0),
      everpaid_ms: said ? page.hops_ms + said.waited_ms - within : Infinity,
      lost: notes.filter(({ lost }) => lost).length,
      notes,
      began,
      ended,
    };
  }

  /** Opens an order's link, and waits until it could be paid. @returns {Promise<Arrival>} */
  async function arrive(page, order) {
    await stopwatch.notes();
    const began = performance.now();
    await page.goto(order.wechat_url);
    await isPainted(page);
    const total_ms = performance.now() - began;
    return { total_ms, wechat_ms: took(await stopwatch.notes()) };
  }

  /**
   * An order's first tap, and one more after the cashier was closed.
   * @param {boolean} losesLogin  the answer to who the payer is never comes
   * @returns {Promise<{arrival: Arrival, taps: Tap[]}>}
   */
  async function firstAndAgain(losesLogin) {
    const order = await shop.place();
    const page = await newPayer();
    try {
      if (losesLogin) stopwatch.loseNextLogin();
      const arrival = await arrive(page, order);
      const first = await tap(page, "first");
      if (first.total_ms === Infinity) return { arrival, taps: [first] };
      await cashierOf(page).getByRole("button", { name: "取消" }).click();
      await isPainted(page);
      return { arrival, taps: [first, await tap(page, "again")] };
    } finally {
      await page.context().close();
    }
  }

  /** The tap of somebody whom neither page nor server knows. @returns {Promise<Tap>} */
  async function stranger() {
    const order = await shop.place();
    const page = await newPayer();
    try {
      const expired = { status: 400, contentType: "application/problem+json", body: '{"code":"authorization_expired"}' };
      await page.route("**/v1/wechat/oauth/openid", (route) => route.fulfill(expired), { times: 1 });
      await page.goto(order.wechat_url);
      await page.getByText("微信登录未完成，点击支付时会重新登录。").waitFor();
      await isPainted(page);
      return await tap(page, "stranger");
    } finally {
      await page.context().close();
    }
  }

  return { firstAndAgain, stranger };
}
