/** Draws a state. Holds no opinion about orders: what may be done is read from `order.js`. */

import { countdown, moment, reasonFor, text, yuan } from "./copy.js";
import { STATES, failureOf, isPaidElsewhere, may, returnAddress, timeLeft as timeLeftOf } from "./order.js";

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
 * @param {Document} document
 * @param {object} page  what does not change: merchant, simulator_url, environment, phone, link, and the payer's acts
 */
export function createView(document, page) {
  const part = (id) => document.getElementById(id);
  let language = page.language;
  let state = null;
  let drawn = "";
  let timeLeft = null;
  let code = null; // the QR on the screen, kept so that a redraw does not load it again
  let codes = 0;

  const t = (key, values) => text(language, key, values);
  const merchant = () => (state && state.order && state.order.merchant.name) || page.merchant;

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
    const seen = JSON.stringify([language, name, order, payment, failure, hint, slow, online]);
    if (seen === drawn) return;
    drawn = seen;

    drawFrame();
    const stub = name !== "gone" && (order ? summary(order) : name === "loading" && skeleton());
    fill(part("summary"), stub || []);
    const hadFocus = part("counter").contains(document.activeElement) && document.activeElement.id;
    fill(part("counter"), COUNTERS[name]());
    part("counter").dataset.state = name;
    part("ticket").classList.toggle("ticket--single", !stub);
    showTimeLeft(timeLeftOf(state));
    settle(before, hadFocus);
  }

  /** Says a change aloud, and moves the focus to a result or to the code that was asked for. */
  function settle(before, hadFocus) {
    const moved = before && before.name !== state.name;
    if (moved) part("result").textContent = t(state.name + "_title") + " " + spokenAmount();
    const asked = moved && (STATES[state.name].rests || (before.name === "opening" && state.name === "scan"));
    const target = asked ? part("title") : hadFocus ? part(hadFocus) || part("title") : null;
    if (target) target.focus({ preventScroll: !asked });
  }

  function spokenAmount() {
    return state.name === "paid" || state.name === "scan" ? yuan(state.order.amount.total) : "";
  }

  function drawFrame() {
    const name = merchant();
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    const titles = { paid: "title_paid" };
    document.title =
      state.order && name
        ? t(titles[state.name] || "title", { amount: yuan(state.order.amount.total), merchant: name })
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

  function fact(key, value, kind) {
    return h("div", {}, h("dt", {}, t(key)), h("dd", { class: kind || "" }, value));
  }

  function skeleton() {
    return ["short", "tall", "long", "long"].map((size) => h("span", { class: "bone bone--" + size }));
  }

  // --- The counter: what can be done about it --------------------------------------------------

  const COUNTERS = {
    loading: () => [spinner(), title("loading_title")],
    offline: () => [mark("offline"), title("offline_title"), say("offline_text"), button("again", page.again)],

    ready: () => [
      title("ready_title"),
      say(isPaidElsewhere(state) ? "ready_elsewhere" : state.hint === "replaced" ? "hint_replaced" : "ready_text"),
      payButton("pay"),
      elsewhere(),
    ],
    opening: () => [spinner(), title("opening_title"), say(state.slow ? "opening_slow" : "opening_text")],

    scan: () => [
      title("scan_title"),
      qrTile(),
      h("p", { class: "how" }, h("b", {}, t("scan_text")), h("span", {}, t("scan_note"))),
      simulatorLink(),
      state.hint === "not_yet" && h("p", { class: "note", role: "status" }, t("hint_not_yet")),
      button("confirm", page.confirm),
      elsewhere(),
    ],
    qr_expired: () => [mark("wait"), title("qr_expired_title"), say("qr_expired_text"), payButton("qr_refresh")],
    confirming: () => [spinner(), title("confirming_title"), say("confirming_text")],

    unclear: () => [
      mark("question"),
      title("unclear_title"),
      say("unclear_text"),
      may(state, "confirm") && state.payment && button("confirm_again", page.confirm),
      state.payment && state.payment.status !== "succeeded" && button("unpaid", page.back, "quiet"),
    ],
    failed: () => [mark("alert"), title("failed_title"), reason(), payButton("retry")],

    expired: () => [mark("wait"), title("expired_title"), say("expired_text"), backToShop()],
    closing: () => [spinner(), title("closing_title"), say("closing_text")],
    closed: () => [mark("stop"), title("closed_title"), say("closed_text"), backToShop()],
    paid: () => [
      mark("paid"),
      title("paid_title"),
      say(state.order.status === "paid" ? "paid_text" : "paid_" + state.order.status),
      receipt(),
      backToShop(),
    ],
    gone: () => [mark("link"), title("gone_title"), say("gone_text")],
  };

  function title(key) {
    return h("h1", { id: "title", tabindex: "-1" }, t(key));
  }

  function say(key) {
    return h("p", { class: "say" }, t(key));
  }

  function button(key, act, kind = "plain") {
    return h("button", { class: "button button--" + kind, type: "button", id: "act-" + key, onclick: act }, t(key));
  }

  function payButton(key) {
    return button(key, page.pay, "pay");
  }

  function spinner() {
    return h("span", { class: "spinner", "aria-hidden": "true" });
  }

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
      h("figcaption", {}, t("scan_to", { merchant: merchant() }), " ", h("b", {}, yuan(state.order.amount.total))),
      qrImage(),
    );
  }

  /** A refreshed payment keeps its address, so a later code is asked for by number: a browser shows the old one again otherwise. */
  function qrImage() {
    const { id, code_url } = state.payment;
    const key = id + " " + code_url;
    if (!code || code.key !== key) {
      codes += 1;
      const image = h("img", { width: 240, height: 240, decoding: "async" });
      image.addEventListener("error", () => {
        code.broken = true;
        drawn = "";
        draw(state);
      });
      image.src = page.qrAddress(id) + (codes > 1 ? "&code=" + codes : "");
      code = { key, image, broken: false };
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
    code.image.alt = t("qr_alt", { merchant: merchant(), amount: yuan(state.order.amount.total) });
    return code.image;
  }

  function simulatorLink() {
    if (!page.simulator_url) return null;
    const href = page.simulator_url + "/phone?code_url=" + encodeURIComponent(state.payment.code_url);
    return h(
      "a",
      { class: "phone-link", id: "phone", href, target: "_blank", rel: "noopener noreferrer" },
      h("b", {}, t("simulator_tag")),
      t("simulator_open"),
      h("span", { class: "heard-only" }, t("opens_new")),
    );
  }

  /** A phone cannot scan itself, and WeChat's own browser not yet pay here: the link gets out of both. */
  function elsewhere() {
    if (!page.phone) return null;
    const place = page.environment === "browser" ? "phone" : page.environment;
    return h(
      "div",
      { class: "elsewhere" },
      h("h2", {}, t(place + "_title")),
      h("p", {}, t(place + "_text")),
      copyButton("copy-link", place === "phone" ? "copy_link" : "copy_link_here", page.link),
    );
  }

  function copyButton(id, key, value) {
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
      h("button", { class: "button button--plain", type: "button", id, onclick: act }, t(key)),
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
      request_id && h("p", { class: "support" }, t("support_code", { code: request_id })),
    );
  }

  function receipt() {
    const { order } = state;
    const number = order.payment && order.payment.transaction_id;
    return h(
      "dl",
      { class: "facts facts--receipt" },
      order.paid_at && fact("paid_at", moment(language, order.paid_at)),
      number && fact("transaction", number, "code"),
    );
  }

  function backToShop() {
    const href = returnAddress(state.order);
    return href && h("a", { class: "button button--plain", id: "back", href, rel: "noreferrer" }, t("back"));
  }

  // --- The clock -------------------------------------------------------------------------------

  /** @param {number|null} ms */
  function showTimeLeft(ms) {
    const place = part("left");
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

  function h(tag, attributes, ...children) {
    return build(document.createElement(tag), attributes, children);
  }

  function s(tag, attributes, ...children) {
    return build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  }

  return { draw, showTimeLeft };
}

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== "") element.setAttribute(name, value);
  }
  fill(element, children);
  return element;
}

function fill(element, children) {
  element.textContent = "";
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
}

/** The clipboard where it is allowed (https), else the old way. */
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
