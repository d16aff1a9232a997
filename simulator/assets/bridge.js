// WeChat, as a page finds it: the simulated browser puts this script before everything else.
//
// It plays `MicroMessenger` in the user agent, `WeixinJSBridge` with the answers of the real one,
// and keeps links to the OAuth page on this machine. A small sign says that it is a simulator.
(() => {
  "use strict";
  const { client, userAgent, pages, simulatorPort, payers } = document.currentScript.dataset;
  document.currentScript.remove();

  const SOURCE = "wechat-pay-simulator";
  const PAY = "get_brand_wcpay_request";
  // The real bridge is there some moments after the page.
  const READY_MS = 100;
  const simulator = `${location.protocol}//${location.hostname}:${simulatorPort}`;
  const isChinese = navigator.language.startsWith("zh");
  const everyone = payers.split(",").map((payer) => payer.split(":"));

  const pretend = (name, value) => Object.defineProperty(Navigator.prototype, name, { get: () => value, configurable: true, enumerable: true });
  pretend("userAgent", userAgent);
  pretend("userAgentData", undefined);
  if (client === "mini-program") window.__wxjs_environment = "miniprogram";

  window.navigation?.addEventListener("navigate", (event) => {
    const to = new URL(event.destination.url);
    if (event.formData || !event.cancelable) return;
    const base = to.hostname === "open.weixin.qq.com" ? simulator : to.origin === pages ? location.origin : to.origin;
    if (base === to.origin) return;
    event.preventDefault();
    location.href = base + to.pathname + to.search + to.hash;
  });

  if (window !== window.top) return;

  /** The one sheet that can be open. @type {HTMLDialogElement | null} */
  let sheet = null;

  const WeixinJSBridge = {
    invoke(name, parameters, answer = () => {}) {
      const later = (err_msg, more = {}) => setTimeout(() => answer({ err_msg, ...more }));
      if (name !== "getBrandWCPayRequest") return later("system:function_not_exist");
      if (client === "mini-program") return later("system:access_denied");
      if (sheet) return later(`${PAY}:fail`, { err_desc: "正在支付" });
      callUp(parameters ?? {}, (outcome, message, shown) => later(message ?? `${PAY}:${outcome}`, shown ? { err_desc: shown } : {}));
    },
    call(name, parameters, answer) {
      this.invoke(name, parameters, answer);
    },
    // Menus and sharing, which never happen here.
    on() {},
  };

  function appear() {
    window.WeixinJSBridge = WeixinJSBridge;
    document.dispatchEvent(new Event("WeixinJSBridgeReady"));
  }

  function whenRead(then) {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", then, { once: true });
    else then();
  }

  whenRead(() => {
    setTimeout(appear, READY_MS);
    showSign();
  });

  /** Opens the phone's cashier over the page. */
  function callUp(parameters, closed) {
    const frame = make("iframe", { title: isChinese ? "模拟的微信收银台" : "Simulated WeChat cashier", src: `${simulator}/phone?sheet&payer=${holder()[0]}` });
    sheet = make("dialog", {}, frame);
    const host = place(sheet);
    // Only the cashier decides how it ends.
    sheet.addEventListener("cancel", (event) => event.preventDefault());
    window.addEventListener("message", function hear({ source, data }) {
      if (source !== frame.contentWindow || data?.source !== SOURCE) return;
      if (data.sheet === "ready") {
        const invoke = { cashier: "jsapi", parameters: JSON.parse(JSON.stringify(parameters)) };
        source.postMessage({ source: SOURCE, invoke }, simulator);
        frame.focus();
      }
      if (data.sheet === "closed") {
        window.removeEventListener("message", hear);
        host.remove();
        sheet = null;
        closed(data.outcome, data.message, data.shown);
      }
    });
    sheet.showModal();
  }

  function holder() {
    const said = document.cookie.split("; ").find((cookie) => cookie.startsWith("simulated_payer="));
    return everyone.find(([id]) => said === `simulated_payer=${id}`) ?? everyone[0];
  }

  function nameOf([, name, englishName]) {
    return isChinese ? name : englishName;
  }

  /** Says that this is not WeChat, and who holds the phone. */
  function showSign() {
    const sign = make("details", { className: "sign" });
    const menu = make("div", { role: "group" });
    for (const payer of everyone) {
      const choose = make("button", { type: "button", textContent: nameOf(payer) });
      choose.setAttribute("aria-pressed", String(payer === holder()));
      choose.addEventListener("click", () => {
        document.cookie = `simulated_payer=${payer[0]}; path=/; max-age=31536000; samesite=lax`;
        location.reload();
      });
      menu.append(choose);
    }
    const hide = make("button", { type: "button", textContent: isChinese ? "隐藏" : "Hide" });
    hide.addEventListener("click", () => host.remove());
    menu.append(hide);
    sign.append(make("summary", { textContent: `${isChinese ? "模拟微信" : "Simulated WeChat"} · ${nameOf(holder())}` }), menu);
    const host = place(sign);
  }

  function make(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  /** Puts something over the page, out of reach of the page's own styles. */
  function place(element) {
    const host = document.createElement("div");
    host.dataset.simulator = "wechat";
    const root = host.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [STYLE];
    root.append(element);
    document.documentElement.append(host);
    return host;
  }

  // A stylesheet made by a script is not the page's policy's concern.
  const STYLE = new CSSStyleSheet();
  STYLE.replaceSync(`
    :host { all: initial; font: 14px/1.4 system-ui, sans-serif; }
    dialog {
      width: 100%; max-width: 430px; height: min(680px, 94dvh); max-height: none; margin: auto auto 0; padding: 0; border: 0;
      border-radius: 20px 20px 0 0; overflow: hidden; background: #fff; color-scheme: light dark;
    }
    dialog::backdrop { background: rgb(0 0 0 / 50%); }
    iframe { display: block; width: 100%; height: 100%; border: 0; }
    .sign { position: fixed; left: 10px; bottom: 10px; z-index: 2147483646; color: #17201d; }
    summary, .sign div { background: #fdf1d8; border: 1px solid #e5cf9c; box-shadow: 0 2px 10px rgb(0 0 0 / 15%); }
    summary { display: inline-block; list-style: none; cursor: pointer; border-radius: 99px; padding: 4px 12px; font-size: 13px; color: #6f4800; }
    summary::-webkit-details-marker { display: none; }
    .sign div { position: absolute; bottom: calc(100% + 6px); left: 0; display: grid; border-radius: 12px; padding: 6px; gap: 2px; }
    button { font: inherit; text-align: left; white-space: nowrap; border: 0; background: none; color: inherit; padding: 8px 14px; border-radius: 8px; cursor: pointer; }
    button:hover { background: rgb(0 0 0 / 7%); }
    button[aria-pressed="true"] { font-weight: 650; }
    :focus-visible { outline: 2px solid #0b7a5c; outline-offset: 2px; }
    @media (min-width: 600px) { dialog { margin: auto; border-radius: 20px; } }
  `);
})();
