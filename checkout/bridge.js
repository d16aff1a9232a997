/** WeChat's cashier, called up through the bridge that WeChat puts into its pages. */

/** The bridge comes a moment after the page; when it is not there by then, this is no WeChat. */
export const BRIDGE_MS_MAX = 8000;

/**
 * Calls the cashier up and gives back what the bridge says when it is closed, in its own words; "" when
 * there is no bridge. It may take minutes, and a bridge that never answers is never heard of again.
 *
 * @param {import("./order.js").CallUp} parameters  handed over as they are
 * @param {any} host  the window; another one in tests
 * @returns {Promise<string>}
 */
export async function callUp(parameters, host = window) {
  if (!host.WeixinJSBridge && !(await appears(host))) return "";
  return new Promise((answer) => {
    try {
      host.WeixinJSBridge.invoke("getBrandWCPayRequest", parameters, (/** @type {{err_msg?: unknown}} */ said) =>
        answer(String((said && said.err_msg) || "unknown")),
      );
    } catch (_) {
      answer("unknown");
    }
  });
}

/**
 * @param {any} host
 * @returns {Promise<boolean>}
 */
function appears(host) {
  return new Promise((settle) => {
    const timer = host.setTimeout(() => settle(false), BRIDGE_MS_MAX);
    host.document.addEventListener("WeixinJSBridgeReady", () => {
      host.clearTimeout(timer);
      settle(Boolean(host.WeixinJSBridge));
    }, { once: true });
  });
}
