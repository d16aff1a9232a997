/** Draws a state. Holds no opinion about orders: what may be done is read from `order.js`. */

import { atTheCashier, countdown, moment, reasonFor, text, yuan } from "./copy.js";
import { STATES, failureOf, isPaidElsewhere, may, returnAddress, timeLeft as timeLeftOf, way } from "./order.js";

/** Paths in a 64-unit box, drawn with round strokes. */
const MARKS = {
  paid: "m20 33 8.5 8.5L45 24",
  wait: "M32 20v13l8 5",
  stop: "M22 32h20",
  alert: "M32 20v15M32 43.5v.5",
  question: "M25.5 27a6.5 6.5 0 1 1 9.5 5.8c-2 1-3 2.4-3 4.7M32 44v.5",
  link: "m27 37 10-10M30 22l3-3a8.5 8.5 0 0 1 12 12l-3 3M34 42l-3 3a8.5 8.5 0 0 1-12-12l3-3",
  offline: "M18 28c8-7.5 20-7.5 28 0M24 35c4.5-4 11.5-4 16 0M32 43.5v.5",
};

/**
 * @typedef {object} Page  what does not change
 * @property {string} merchant
 * @property {string} simulator_url  "" where money is real
 * @property {import("./environment.js").Environment|"wxwork"} environment
 * @property {boolean} phone
 * @property {string} link           this page's address, for another device
 * @property {import("./copy.js").Language} language  at first
 * @property {(language: import("./copy.js").Language) => void} languageChosen
 * @property {ReturnType<typeof import("./everpaid.js").openCheckout>} checkout
 *
 * @typedef {Node|string|false|null|undefined} Child  what is not there is left out
 */

/**
 * @param {Document} document
 * @param {Page} page
 */
export function createView(document, page) {
  const { checkout } = page;
  const part = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
  let language = page.language;
  let state = checkout.state;
  let drawn = "";
  /** @type {number|null} */
  let timeLeft = null;
  /** The QR on the screen, kept so that a redraw does not load it again. @type {{address: string, image: HTMLImageElement, broken: boolean}|null} */
  let code = null;

  const merchant = () => (state.order && state.order.merchant.name) || page.merchant;
  const order = () => /** @type {import("./order.js").Order} */ (state.order);
  const payment = () => /** @type {import("./order.js").Payment} */ (state.payment);

  /** @param {string} key @param {Record<string, string|number>=} values */
  function t(key, values) {
    return text(language, way(state) === "mini_program" ? atTheCashier(key) : key, values);
  }

  part("language").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    page.languageChosen(language);
    drawn = "";
    draw(state);
  });

  /** @param {import("./order.js").State} next */
  function draw(next) {
    const before = state;
    state = next;
    const { name, order, payment, failure, hint, slow, online } = state;
    const seen = JSON.stringify([language, name, order, payment, failure, hint, slow, online, way(state)]);
    if (seen === drawn) return;
    drawn = seen;

    drawFrame();
    const stub = name !== "gone" && (order ? summary(order) : name === "loading" && skeleton());
    fill(part("summary"), stub || []);
    const focused = document.activeElement;
    const hadFocus = focused !== null && part("counter").contains(focused) ? focused.id : "";
    fill(part("counter"), COUNTERS[name]());
    part("counter").dataset.state = name;
    part("ticket").classList.toggle("ticket--single", !stub);
    showTimeLeft(timeLeftOf(state));
    settle(before, hadFocus);
  }

  /**
   * Says a change aloud, and moves the focus to a result or to the code that was asked for.
   * @param {import("./order.js").State} before
   * @param {string} hadFocus
   */
  function settle(before, hadFocus) {
    const moved = before.name !== state.name;
    if (moved) part("result").textContent = t(state.name + "_title") + " " + spokenAmount();
    const asked = moved && (STATES[state.name].rests || (before.name === "opening" && state.name === "scan"));
    const target = asked ? part("title") : hadFocus ? part(hadFocus) || part("title") : null;
    if (target) target.focus({ preventScroll: !asked });
  }

  function spokenAmount() {
    return state.name === "paid" || state.name === "scan" ? yuan(order().amount.total) : "";
  }

  function drawFrame() {
    const name = merchant();
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    document.title =
      state.order && name
        ? t(state.name === "paid" ? "title_paid" : "title", { amount: yuan(state.order.amount.total), merchant: name })
        : t("title_plain");

    part("merchant").textContent = name;
    part("seal").textContent = Array.from(name)[0] || "";
    part("seal").hidden = !name;
    part("language").textContent = t("switch");
    part("language").setAttribute("aria-label", t("switch_label"));
    part("language").lang = language === "zh" ? "en" : "zh-CN";
    part("footer").textContent = t("footer");

    part("simulator").hidden = !page.simulator_url;
    fill(part("simulator"), [h("b", {}, t("simulator_tag")), " ", t("simulator")]);

    const trouble = state.order && !state.online && state.name !== "paid";
    part("trouble").hidden = !trouble;
    part("trouble").textContent = trouble ? t("reconnecting") : "";
  }

  // --- The stub: what is being paid ------------------------------------------------------------

  /** @param {import("./order.js").Order} order */
  function summary(order) {
    const [whole, cents] = yuan(order.amount.total).slice(1).split(".");
    return [
      h("p", { class: "stub__label" }, t(state.name === "paid" ? "amount_paid" : "amount")),
      h("p", { class: "amount" }, h("small", {}, "¥"), whole, cents && h("small", {}, "." + cents)),
      h("p", { class: "stub__item" }, order.description),
      h(
        "dl",
        { class: "facts" },
        fact("payee", merchant()),
        fact("order_no", order.id, "code"),
        h("div", { id: "left", hidden: true }, h("dt", {}, t("time_left")), h("dd", { class: "clock", id: "clock" })),
      ),
    ];
  }

  /** @param {string} key @param {string} value @param {string=} kind */
  function fact(key, value, kind) {
    return h("div", {}, h("dt", {}, t(key)), h("dd", { class: kind || "" }, value));
  }

  function skeleton() {
    return ["short", "tall", "long", "long"].map((size) => h("span", { class: "bone bone--" + size }));
  }

  // --- The counter: what can be done about it --------------------------------------------------

  /** @type {Record<import("./order.js").StateName, () => Child[]>} */
  const COUNTERS = {
    loading: () => [spinner(), title()],
    offline: () => [mark("offline"), title(), say("offline_text"), button("again", checkout.again)],

    ready: () => [title(), say(readyText()), payButton("pay"), wayOut(), elsewhere()],
    authorizing: () => [spinner(), title(), say("authorizing_text")],
    opening: () => [spinner(), title(), say(state.slow ? "opening_slow" : "opening_text")],

    scan: () => [
      title(),
      qrTile(),
      h("p", { class: "how" }, h("b", {}, t("scan_text")), h("span", {}, t("scan_note"))),
      simulatorLink(),
      state.hint === "not_yet" && h("p", { class: "note", role: "status" }, t("hint_not_yet")),
      state.hint === "not_yet" && support(),
      button("confirm", checkout.confirm),
      wayOut(),
      elsewhere(),
    ],
    qr_expired: () => [mark("wait"), title(), say("qr_expired_text"), payButton("qr_refresh"), wayOut()],
    calling: () => [spinner(), title(), say("calling_text")],
    silent: () => [
      mark("question"),
      title(),
      say("silent_text"),
      support(),
      payButton("call_again"),
      may(state, "confirm") && button("confirm", checkout.confirm),
      button("qr", checkout.qr, "quiet"),
    ],
    confirming: () => [spinner(), title(), say("confirming_text")],

    unclear: () => [
      mark("question"),
      title(),
      say("unclear_text"),
      support(),
      may(state, "confirm") && button("confirm_again", checkout.confirm),
      state.payment !== null && state.payment.status !== "succeeded" && button("unpaid", checkout.back, "quiet"),
    ],
    failed: () => [mark("alert"), title(), reason(), support(), payButton("retry"), wayOut(), elsewhere()],

    expired: () => [mark("wait"), title(), say("expired_text"), support(), backToShop()],
    closing: () => [spinner(), title(), say("closing_text"), support()],
    closed: () => [mark("stop"), title(), say("closed_text"), support(), backToShop()],
    paid: () => [
      mark("paid"),
      title(),
      say(order().status === "paid" ? "paid_text" : "paid_" + order().status),
      receipt(),
      backToShop(),
    ],
    gone: () => [mark("link"), title(), say("gone_text")],
  };

  function readyText() {
    if (state.hint) return "hint_" + state.hint;
    return isPaidElsewhere(state) ? "ready_elsewhere" : "ready_text";
  }

  function title() {
    return h("h1", { id: "title", tabindex: "-1" }, t(state.name + "_title"));
  }

  /** @param {string} key */
  function say(key) {
    return h("p", { class: "say" }, t(key));
  }

  /** @param {string} key @param {() => void} act @param {string=} kind */
  function button(key, act, kind = "plain") {
    return h("button", { class: "button button--" + kind, type: "button", id: "act-" + key, onclick: act }, t(key));
  }

  /** @param {string} key */
  function payButton(key) {
    return button(key, checkout.pay, "pay");
  }

  /** Out of WeChat's cashier to the QR code and back: somebody else may pay, or this phone's cashier will not do. */
  function wayOut() {
    if (may(state, "wechat")) return button("wechat", checkout.wechat, "quiet");
    return may(state, "qr") && button("qr", checkout.qr, "quiet");
  }

  function spinner() {
    return h("span", { class: "spinner", "aria-hidden": "true" });
  }

  /** @param {keyof typeof MARKS} name */
  function mark(name) {
    const tone = name === "paid" ? "paid" : "quiet";
    return s(
      "svg",
      { class: "mark mark--" + tone, viewBox: "0 0 64 64", "aria-hidden": "true" },
      s("circle", { cx: 32, cy: 32, r: 31 }),
      s("path", { d: MARKS[name], pathLength: 1 }),
    );
  }

  function qrTile() {
    return h(
      "figure",
      { class: "qr" },
      h("figcaption", {}, t("scan_to", { merchant: merchant() }), " ", h("b", {}, yuan(order().amount.total))),
      qrImage(),
    );
  }

  function qrImage() {
    const address = checkout.qrAddress(payment());
    if (!code || code.address !== address) {
      const image = document.createElement("img");
      Object.assign(image, { width: 240, height: 240, decoding: "async" });
      const loaded = { address, image, broken: false };
      image.addEventListener("error", () => {
        loaded.broken = true;
        drawn = "";
        draw(state);
      });
      image.src = address;
      code = loaded;
    }
    if (code.broken) {
      return h(
        "div",
        { class: "qr__broken", role: "status" },
        h("p", {}, t("qr_broken")),
        button("qr_again", () => {
          code = null;
          drawn = "";
          draw(state);
        }),
      );
    }
    code.image.alt = t("qr_alt", { merchant: merchant(), amount: yuan(order().amount.total) });
    return code.image;
  }

  function simulatorLink() {
    if (!page.simulator_url) return null;
    const href = page.simulator_url + "/phone?code_url=" + encodeURIComponent(payment().code_url || "");
    return h(
      "a",
      { class: "phone-link", id: "phone", href, target: "_blank", rel: "noopener noreferrer" },
      h("b", {}, t("simulator_tag")),
      t("simulator_open"),
      h("span", { class: "heard-only" }, t("opens_new")),
    );
  }

  /** A phone cannot scan itself, and in some places nobody can pay: the link gets out of all of them. */
  function elsewhere() {
    if (!page.phone || way(state) === "mini_program") return null;
    const place = page.environment === "browser" ? "phone" : page.environment;
    return h(
      "div",
      { class: "elsewhere" },
      h("h2", {}, t(place + "_title")),
      h("p", {}, t(place + "_text")),
      copyButton("copy-link", place === "phone" || place === "wxwork" ? "copy_link" : "copy_link_here", page.link),
    );
  }

  /** @param {string} id @param {string} key @param {string} value @param {string=} kind */
  function copyButton(id, key, value, kind = "plain") {
    const spoken = h("span", { role: "status", class: "copied" });
    const act = async () => {
      if (await copyText(document, value)) {
        spoken.textContent = t("copied");
      } else {
        spoken.textContent = t("copy_failed");
        spoken.after(h("p", { class: "copy-me" }, value));
      }
    };
    return h(
      "span",
      { class: "copy" },
      h("button", { class: "button button--" + kind, type: "button", id, onclick: act }, t(key)),
      spoken,
    );
  }

  function reason() {
    const { code, message, request_id } = failureOf(state);
    const words = reasonFor(language, code) || message || t("failed_unknown");
    return h(
      "div",
      { class: "say" },
      h("p", {}, t("failed_reason", { reason: words })),
      request_id ? h("p", { class: "support" }, t("support_code", { code: request_id })) : null,
    );
  }

  /** How the shop is reached, wherever the payer may have paid without our knowing it. */
  function support() {
    const words = state.order && state.order.merchant.support;
    return words ? h("p", { class: "support" }, t("support"), h("b", {}, words)) : null;
  }

  function receipt() {
    const { payment, paid_at } = order();
    const number = payment && payment.transaction_id;
    return h(
      "dl",
      { class: "facts facts--receipt" },
      paid_at !== null && fact("paid_at", moment(language, paid_at)),
      number ? fact("transaction", number, "code") : null,
      number ? h("div", { class: "facts__copy" }, h("dt", { class: "heard-only" }, t("transaction")), h("dd", {}, copyButton("copy-transaction", "copy_number", number, "quiet"))) : null,
    );
  }

  function backToShop() {
    const href = returnAddress(state.order);
    return href !== null && h("a", { class: "button button--plain", id: "back", href, rel: "noreferrer" }, t("back"));
  }

  // --- The clock -------------------------------------------------------------------------------

  /** @param {number|null} ms */
  function showTimeLeft(ms) {
    const place = document.getElementById("left");
    if (place) {
      place.hidden = ms === null || ms === 0;
      place.classList.toggle("is-short", ms !== null && ms < 300000);
      if (ms !== null) part("clock").textContent = countdown(language, ms);
    }
    for (const minutes of [5, 1]) {
      const mark = minutes * 60000;
      if (timeLeft !== null && ms !== null && timeLeft > mark && ms <= mark) {
        part("minutes").textContent = t("minutes_left", { minutes });
      }
    }
    timeLeft = ms;
  }

  // --- Elements --------------------------------------------------------------------------------

  /** @param {string} tag @param {Attributes} attributes @param {Child[]} children */
  function h(tag, attributes, ...children) {
    return build(document.createElement(tag), attributes, children);
  }

  /** @param {string} tag @param {Attributes} attributes @param {Child[]} children */
  function s(tag, attributes, ...children) {
    return build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  }

  return { draw, showTimeLeft };
}

/** @typedef {Record<string, string|number|boolean|(() => void)>} Attributes */

/**
 * @template {Element} E
 * @param {E} element
 * @param {Attributes} attributes
 * @param {Child[]} children
 */
function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== "") element.setAttribute(name, String(value));
  }
  fill(element, children);
  return element;
}

/** @param {Element} element @param {Child[]} children */
function fill(element, children) {
  element.textContent = "";
  for (const child of children) if (child) element.append(child);
}

/**
 * The clipboard where it is allowed (https), else the old way.
 * @param {Document} document
 * @param {string} value
 */
async function copyText(document, value) {
  try {
    await navigator.clipboard.writeText(value);
    return true;
  } catch (_) {
    const field = document.createElement("textarea");
    field.value = value;
    field.className = "heard-only";
    field.setAttribute("readonly", "");
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}
