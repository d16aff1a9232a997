/**
 * The demo shop: what a merchant's own site does with everpaid, in one file.
 * It asks its own server to sell (`POST /buy`), sends the payer to the checkout page,
 * and looks at its own orders. It holds no key and never decides that something is paid.
 */

export const COPY = Object.freeze({
  zh: {
    title: "山茶小铺",
    name: "山茶小铺",
    switch: "English",
    switch_label: "Switch to English",
    headline: "山里的茶，慢慢喝。",
    demo: "演示",
    notice:
      "这是一家虚构的小店，用来试用 everpaid：下单、扫码、到账都在这台机器上模拟，不会动用任何真实的钱，也不会寄出茶叶。",
    shelf: "商品",
    buy: "购买",
    buying: "正在下单…",
    buy_what: "购买{product}，{price}",
    buy_failed: "没有下单成功，请再试一次。",
    orders: "订单",
    live: "实时更新",
    stale: "连接中断，正在重试…",
    empty: "还没有订单。挑一款茶试试吧。",
    desktop: "扫码",
    desktop_what: "在电脑上扫码支付订单 {number}",
    wechat: "微信内",
    wechat_what: "在模拟的微信浏览器里支付订单 {number}",
    own: "本店页面",
    own_what: "在店铺自己的页面支付订单 {number}",
    mini: "小程序",
    mini_what: "在模拟的小程序里支付订单 {number}",
    open: "打开",
    open_what: "打开订单 {number} 的收银台",
    phone: "模拟手机",
    ledger: "微信账本",
    told: "收到的通知",
    metrics: "监控指标",
    docs: "接口文档",
    status_pending: "待支付",
    status_closing: "关闭中",
    status_closed: "已关闭",
    status_paid: "已支付",
    status_partially_refunded: "部分退款",
    status_refunded: "已退款",
  },
  en: {
    title: "Camellia Tea",
    name: "Camellia Tea",
    switch: "中文",
    switch_label: "切换为中文",
    headline: "Mountain tea, slowly.",
    demo: "Demo",
    notice:
      "This shop is fictional and here to try everpaid: ordering, scanning and settling are all simulated on this machine. No real money moves, and no tea is sent.",
    shelf: "Products",
    buy: "Buy",
    buying: "Placing order…",
    buy_what: "Buy {product}, {price}",
    buy_failed: "The order was not placed. Please try again.",
    orders: "Orders",
    live: "Live",
    stale: "Connection lost. Trying again…",
    empty: "No orders yet. Pick a tea to begin.",
    desktop: "QR code",
    desktop_what: "Pay order {number} by QR code on a desktop",
    wechat: "In WeChat",
    wechat_what: "Pay order {number} in the simulated WeChat browser",
    own: "Own page",
    own_what: "Pay order {number} on the shop's own page",
    mini: "Mini-program",
    mini_what: "Pay order {number} in the simulated mini-program",
    open: "Open",
    open_what: "Open the checkout of order {number}",
    phone: "Simulated phone",
    ledger: "WeChat's ledger",
    told: "Webhooks received",
    metrics: "Metrics",
    docs: "API docs",
    status_pending: "Pending",
    status_closing: "Closing",
    status_closed: "Closed",
    status_paid: "Paid",
    status_partially_refunded: "Partly refunded",
    status_refunded: "Refunded",
  },
});

/** 1990 fen → "¥19.90", whole numbers only. */
export function yuan(fen) {
  if (!Number.isSafeInteger(fen) || fen < 0) return "¥—";
  const digits = String(fen).padStart(3, "0");
  return "¥" + digits.slice(0, -2).replace(/\B(?=(\d{3})+$)/g, ",") + "." + digits.slice(-2);
}

/** Line drawings in a 96-unit box, one path a stroke weight. */
const ART = {
  cup: ["M26 44h40v10a18 18 0 0 1-18 18h-4a18 18 0 0 1-18-18zM66 47h5a8 8 0 0 1 0 16h-6M20 79h52", "M38 36c0-5 5-5 5-11M52 36c0-5 5-5 5-11"],
  blossom: [
    "M48 44c-9-8-8-22 0-26 8 4 9 18 0 26M48 44c4-11 17-16 24-11 1 9-11 17-24 11M48 44c11 3 18 15 14 23-9 2-18-10-14-23M48 44c4 13-5 25-14 23-4-8 3-20 14-23M48 44c-13 6-25-2-24-11 7-5 20 0 24 11",
    "M48 62c1 7 0 13-4 20M46 76c5-5 11-6 17-4-4 6-11 8-17 4",
  ],
  mountain: ["M12 72 36 28l13 22 9-14 26 36z", "M28 43l5 4 4-5 6 6M20 82h20M48 82h8M64 82h14"],
};

const ORDERS_EVERY_MS = 2000;

function open(document) {
  const part = (id) => document.getElementById(id);
  let language = remembered() || (/^zh\b/i.test(navigator.language || "zh") ? "zh" : "en");
  let products = [];
  let links = null;
  let orders = null;
  let reached = true;
  let drawn = "";
  let buying = null;

  const t = (key, values = {}) => COPY[language][key].replace(/\{(\w+)\}/g, (slot, name) => values[name] || slot);

  // --- Buying ----------------------------------------------------------------------------------

  async function buy(product) {
    if (buying) return;
    buying = product.id;
    say("");
    drawShelf();
    try {
      const { checkout_url } = await ask("/buy", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ product: product.id }),
      });
      location.assign(webAddress(checkout_url));
    } catch (_) {
      buying = null;
      drawShelf();
      say(t("buy_failed"));
      part("buy-" + product.id).focus();
    }
  }

  function say(words) {
    part("trouble").textContent = words;
    part("trouble").hidden = !words;
  }

  // --- Looking ---------------------------------------------------------------------------------

  let nextLook = 0;

  async function look() {
    clearTimeout(nextLook);
    try {
      orders = (await ask("/orders")).orders;
      reached = true;
      if (!links) links = await ask("/links").catch(() => null);
      if (products.length === 0) await stock();
    } catch (_) {
      reached = false;
    }
    draw();
    if (!document.hidden) nextLook = setTimeout(look, ORDERS_EVERY_MS);
  }

  async function stock() {
    products = (await ask("/products.json")).products;
    drawShelf();
  }

  async function ask(path, how) {
    const response = await fetch(path, Object.assign({ cache: "no-store", headers: { Accept: "application/json" } }, how));
    if (!response.ok) throw new Error(path + " answered " + response.status);
    return response.json();
  }

  // --- Drawing ---------------------------------------------------------------------------------

  function drawWords() {
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    document.title = t("title");
    for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
    part("language").textContent = t("switch");
    part("language").lang = language === "zh" ? "en" : "zh-CN";
    part("language").setAttribute("aria-label", t("switch_label"));
  }

  function drawShelf() {
    fill(
      part("shelf"),
      products.map((product) => {
        const name = product.name[language];
        const price = yuan(product.amount.total);
        const button = h("button", { class: "buy", type: "button", id: "buy-" + product.id, "aria-label": t("buy_what", { product: name, price }) }, t(buying === product.id ? "buying" : "buy"));
        button.disabled = buying !== null;
        button.addEventListener("click", () => buy(product));
        return h(
          "li",
          { class: "tea tea--" + product.art },
          art(product.art),
          h("div", { class: "tea__words" }, h("h3", {}, name), h("p", {}, product.note[language])),
          h("div", { class: "tea__foot" }, h("span", { class: "price" }, price), button),
        );
      }),
    );
  }

  function draw() {
    const seen = JSON.stringify([language, orders, links, reached]);
    if (seen === drawn) return;
    drawn = seen;

    part("live").textContent = reached ? t("live") : t("stale");
    part("live").classList.toggle("is-stale", !reached);
    if (links) fill(part("links"), drawLinks());
    if (orders) {
      const focused = document.activeElement && document.activeElement.id;
      part("empty").hidden = orders.length > 0;
      fill(part("ledger"), orders.map(drawOrder));
      if (focused && part(focused)) part(focused).focus();
    }
  }

  function drawLinks() {
    const to = (key, base, path) =>
      base && h("a", { href: webAddress(base).replace(/\/+$/, "") + path, target: "_blank", rel: "noopener" }, t(key));
    return [
      to("phone", links.simulator_url, "/phone"),
      to("ledger", links.simulator_url, "/_sim/ledger"),
      to("told", location.origin, "/told.json"),
      to("metrics", links.metrics_url, "/metrics"),
      to("docs", links.api_url, "/openapi.json"),
    ];
  }

  function drawOrder(order) {
    const when = new Date(order.created_at).toLocaleTimeString(language === "zh" ? "zh-CN" : "en-GB", { hour12: false });
    const status = COPY[language]["status_" + order.status] || order.status;
    return h(
      "li",
      { class: "row" },
      h("span", { class: "row__what" }, h("b", {}, order.description), h("span", {}, order.merchant_order_no + " · " + when)),
      h("span", { class: "row__amount" }, yuan(order.amount.total)),
      h("span", { class: "status status--" + order.status }, status),
      h("p", { class: "row__ways" }, ...ways(order)),
    );
  }

  /** The same order, wherever its payer is. */
  function ways(order) {
    const to = (key, href) =>
      h("a", { id: key + "-" + order.id, href: webAddress(href), "aria-label": t(key + "_what", { number: order.merchant_order_no }) }, t(key));
    if (!order.checkout_url) return []; // made by somebody else with the shop's key
    if (order.status !== "pending" || !links) return [to("open", order.checkout_url)];
    const { pathname } = new URL(order.checkout_url);
    const page = location.origin + "/mini#" + pathname.split("/").pop();
    return [
      to("desktop", order.checkout_url),
      to("wechat", links.wechat_url + pathname),
      to("own", "/own?order=" + order.merchant_order_no),
      to("mini", links.simulator_url + "/mini-program?page=" + encodeURIComponent(page)),
    ];
  }

  function art(name) {
    const space = "http://www.w3.org/2000/svg";
    const picture = document.createElementNS(space, "svg");
    picture.setAttribute("viewBox", "0 0 96 96");
    picture.setAttribute("aria-hidden", "true");
    for (const d of ART[name] || ART.cup) {
      const path = document.createElementNS(space, "path");
      path.setAttribute("d", d);
      picture.append(path);
    }
    return picture;
  }

  function h(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    fill(element, children);
    return element;
  }

  // --- Beginning -------------------------------------------------------------------------------

  part("language").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    remember(language);
    drawWords();
    drawShelf();
    draw();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(nextLook) : look()));
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    buying = null; // the payer came back from the checkout page
    drawShelf();
    look();
  });

  drawWords();
  stock().catch(() => {});
  look();
}

function fill(element, children) {
  element.textContent = "";
  element.append(...children.filter(Boolean));
}

function webAddress(address) {
  const url = new URL(address, location.href);
  return url.protocol === "https:" || url.protocol === "http:" ? url.href : "#";
}

function remembered() {
  try {
    const language = localStorage.getItem("everpaid-shop-language");
    return language === "zh" || language === "en" ? language : null;
  } catch (_) {
    return null;
  }
}

function remember(language) {
  try {
    localStorage.setItem("everpaid-shop-language", language);
  } catch (_) {
    // not remembered, still switched
  }
}

// The mini-program's page takes the words and the money from here.
if (typeof document !== "undefined" && document.getElementById("shelf")) open(document);
