// A payer inside WeChat who taps, and how long it takes until WeChat's cashier is called.

import { setTimeout as pause } from "node:timers/promises";

import { newPage } from "../../tests/browser/chromium.js";
import { cashierOf } from "../../tests/browser/shop.js";

/** Longer than the page itself is patient. */
const TAP_MS_MAX = 40000;
/** From then on it is looked whether the page has given up; looking earlier would cost the page time. */
const LOOK_AFTER_MS = 5000;

const PHONE = { viewport: { width: 390, height: 800 }, hasTouch: true };

/**
 * @typedef {"first"|"known"|"again"} Kind
 *   first: WeChat is asked who the payer is, by leaving the page and coming back, and for the payment;
 *   known: the page knows who the payer is, and WeChat is asked for the payment;
 *   again: the cashier was closed, and opens with the same payment
 *
 * @typedef {object} Tap
 * @property {Kind} kind
 * @property {number} total_ms   from the finger's leaving the glass to the call; Infinity if it never came
 * @property {number} wechat_ms  of that, until WeChat had answered and its bridge was there
 * @property {number} lost       answers that never came
 * @property {import("./stopwatch.js").Note[]} notes  the calls to WeChat in between
 * @property {number} began      as `Date.now()` tells it
 * @property {number} ended
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
    // With the parameters there and no bridge, it is WeChat that is waited for.
    const answers = performance.getEntriesByType("resource").filter(({ name }) => /\/payments$|\/v1\/payments\/[^/]+$/.test(new URL(name).pathname));
    const answered = answers.length ? answers[answers.length - 1].responseEnd : called;
    window.tellBench({ total_ms: timeOrigin + called - tapped, bridge_ms: Math.max(0, Math.min(bridged, called) - answered) });
  }
}

/**
 * @param {import("playwright-core").Browser} browser
 * @param {ReturnType<typeof import("../../tests/browser/shop.js").shopOf>} shop
 * @param {Awaited<ReturnType<typeof import("./stopwatch.js").startStopwatch>>} stopwatch
 * @param {string} inside  where pages are as WeChat shows them
 */
export function payers(browser, shop, stopwatch, inside) {
  /** Somebody who was never here: nothing is in the browser's cache. */
  async function newPayer() {
    const page = await newPage(browser, PHONE);
    page.told = () => {};
    await page.exposeFunction("tellBench", (said) => page.told(said));
    await page.addInitScript(measure);
    return page;
  }

  const payButton = (page) => page.getByRole("button", { name: "微信支付", exact: true });

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
    const answers = notes.filter(({ lost }) => !lost).reduce((sum, { took_ms }) => sum + took_ms, 0);
    return {
      kind,
      total_ms: said ? said.total_ms : Infinity,
      wechat_ms: said ? answers + said.bridge_ms : answers,
      lost: notes.filter(({ lost }) => lost).length,
      notes,
      began,
      ended,
    };
  }

  /**
   * An order's first tap, and one more after the cashier was closed.
   * @param {boolean} losesLogin  the answer to who the payer is never comes
   * @returns {Promise<Tap[]>}
   */
  async function firstAndAgain(losesLogin) {
    const order = await shop.place();
    const page = await newPayer();
    try {
      await page.goto(order.wechat_url);
      await isPainted(page);
      if (losesLogin) stopwatch.loseNextLogin();
      const first = await tap(page, "first");
      if (first.total_ms === Infinity) return [first];
      await cashierOf(page).getByRole("button", { name: "取消" }).click();
      await isPainted(page);
      return [first, await tap(page, "again")];
    } finally {
      await page.context().close();
    }
  }

  /** The tap of somebody who was logged in when the page was opened. @returns {Promise<Tap[]>} */
  async function known() {
    const order = await shop.place();
    const page = await newPayer();
    try {
      const [loggedIn] = await Promise.all([
        page.waitForResponse((answer) => answer.url().endsWith("/v1/wechat/oauth/openid")),
        page.goto(`${inside}/v1/wechat/oauth/authorize?client_secret=${order.client_secret}`),
      ]);
      await loggedIn.finished();
      await isPainted(page);
      return [await tap(page, "known")];
    } finally {
      await page.context().close();
    }
  }

  return { firstAndAgain, known };
}
