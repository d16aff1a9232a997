/** The page at `/pay/{client_secret}`: connects what `everpaid.js` says with what `view.js` draws. */

import { languageFor } from "./copy.js";
import { environment, isPhone, isWxwork } from "./environment.js";
import { openCheckout } from "./everpaid.js";
import { createView } from "./view.js";

const client_secret = decodeURIComponent(location.pathname.split("/").filter(Boolean).pop() || "");

const checkout = openCheckout({
  client_secret,
  app_id: meta("everpaid-app"),
  authorize_at_once: true,
  onChange: (state) => view.draw(state),
  onTick: (ms) => view.showTimeLeft(ms),
});

const view = createView(document, {
  merchant: meta("everpaid-merchant"),
  simulator_url: webAddress(meta("everpaid-simulator")),
  environment: isWxwork() ? "wxwork" : environment(),
  phone: isPhone(),
  link: location.href.split(/[?#]/)[0],
  language: rememberedLanguage() || languageFor(navigator.language),
  languageChosen: rememberLanguage,
  checkout,
});
view.draw(checkout.state);

/** @param {string} name */
function meta(name) {
  const element = document.querySelector('meta[name="' + name + '"]');
  return (element instanceof HTMLMetaElement && element.content) || "";
}

/** @param {string} address */
function webAddress(address) {
  return /^https?:\/\//.test(address) ? address.replace(/\/+$/, "") : "";
}

function rememberedLanguage() {
  try {
    const language = localStorage.getItem("everpaid-language");
    return language === "zh" || language === "en" ? language : null;
  } catch (_) {
    return null; // storage may be refused; the browser's language will do
  }
}

/** @param {import("./copy.js").Language} language */
function rememberLanguage(language) {
  try {
    localStorage.setItem("everpaid-language", language);
  } catch (_) {
    // not remembered, still switched
  }
}
