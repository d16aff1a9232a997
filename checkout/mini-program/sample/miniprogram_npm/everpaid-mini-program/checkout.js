/** Connects: what the payer does and the server says goes to `screen.js`, what that decides is shown. */

const { isPaid, nextAskMs } = require("./decide");
const { check, pay } = require("./pay");
const { follows, initial, learnAnswer, learnEnd, learnStep, screenOf } = require("./screen");
const { complete } = require("./settings");

/** @typedef {import("./index").Options} Options */
/** @typedef {import("./index").Order} Order */
/** @typedef {import("./index").Result} Result */
/** @typedef {import("./screen").Known} Known */
/** @typedef {import("./screen").Screen} Screen */
/** @typedef {Checkout} CheckoutType */

/**
 * @typedef {object} Told
 * @property {(screen: Screen) => void} draw
 * @property {(result: Result) => void} ended   a try to pay has ended
 * @property {(order: Order) => void} paid      once an order, whoever paid it
 */

class Checkout {
  /** @param {import("./words").Language} language @param {Told} told */
  constructor(language, told) {
    this.language = language;
    this.told = told;
    this.options = /** @type {Options|null} */ (null);
    this.known = initial();
    this.isShown = true;
    // Whatever was begun for another order, try or wait is not listened to any more.
    this.visit = 0;
    this.tries = 0;
    this.waits = 0;
    this.isAsking = false;
    this.asks = 0;
  }

  /** @param {Options|null} options  of an order; null while it is not known */
  open(options) {
    this.options = options;
    this.visit += 1;
    this.isAsking = false;
    this.learn(initial());
    this.refresh();
  }

  /** The page is seen, perhaps again. */
  show() {
    this.isShown = true;
    this.refresh();
  }

  /** Nobody looks, so nobody is asked. */
  hide() {
    this.isShown = false;
    this.waits += 1;
  }

  tap() {
    const { screen, busy } = this.screen();
    if (busy) return;
    if (screen === "ready" || screen === "cancelled" || screen === "failed") this.pay();
    else this.refresh();
  }

  async pay() {
    const { options, visit } = this;
    const { order } = this.known;
    if (options === null || order === null) return;
    const tries = (this.tries += 1);
    const isCurrent = () => visit === this.visit && tries === this.tries;
    this.waits += 1;
    const result = await pay(
      Object.assign({}, options, {
        expectedTotal: order.amount.total,
        onStep: (/** @type {import("./index").Step} */ step) => isCurrent() && this.learn(learnStep(this.known, step)),
      }),
    );
    if (!isCurrent()) return;
    this.learn(learnEnd(this.known, result));
    this.told.ended(result);
    this.asks = 0;
    this.follow();
  }

  /** Asks how the order stands, from the shortest wait on. */
  refresh() {
    this.asks = 0;
    return this.ask();
  }

  async ask() {
    const { options, visit } = this;
    const { order, step } = this.known;
    if (options === null || this.isAsking || isPaid(order) || (step !== null && step !== "cashier")) return;
    this.isAsking = true;
    const answer = await check(options);
    if (visit !== this.visit) return;
    this.isAsking = false;
    this.learn(learnAnswer(this.known, answer));
    this.follow();
  }

  /** Asks again later, if there is something to wait for and somebody who waits. */
  async follow() {
    if (this.options === null || !this.isShown || !follows(this.known)) return;
    const waits = (this.waits += 1);
    await complete(this.options).clock.pause(nextAskMs(this.asks));
    if (waits !== this.waits) return;
    this.asks += 1;
    this.ask();
  }

  /** @param {Known} known */
  learn(known) {
    const wasPaid = isPaid(this.known.order);
    this.known = known;
    this.told.draw(this.screen());
    if (known.order && isPaid(known.order) && !wasPaid) this.told.paid(known.order);
  }

  screen() {
    return screenOf(this.known, this.language);
  }
}

module.exports = { Checkout };
