/**
 * Who pays, inside WeChat: the way to WeChat's silent login and back, and what this tab remembers of it.
 *
 * The openid is kept for one order and one app in the payer's own sessionStorage (R2.7), and is in no address.
 */

/**
 * @param {{api_url: string, client_secret: string, order_id: string, app_id: string}} settings
 * @param {any} host  the window; another one in tests
 */
export function authorization({ api_url, client_secret, order_id, app_id }, host = window) {
  const openidKey = "everpaid-openid:" + app_id + ":" + order_id;
  const triesKey = "everpaid-authorizations:" + order_id;
  const atOnceKey = "everpaid-asked-at-once:" + order_id;
  /** What is remembered where storage is refused: until the page is left. @type {Record<string, string>} */
  const here = {};

  /** @param {string} key @returns {string} */
  function recall(key) {
    try {
      return host.sessionStorage.getItem(key) || "";
    } catch (_) {
      return here[key] || "";
    }
  }

  /** @param {string} key @param {string} value  "" forgets */
  function keep(key, value) {
    here[key] = value;
    try {
      if (value) host.sessionStorage.setItem(key, value);
      else host.sessionStorage.removeItem(key);
    } catch (_) {
      // `here` has it
    }
  }

  /** Does this tab remember anything at all? */
  function remembers() {
    try {
      host.sessionStorage.setItem("everpaid", "1");
      host.sessionStorage.removeItem("everpaid");
      return true;
    } catch (_) {
      return false;
    }
  }

  /** This page's own address, without what WeChat's login added to it. */
  function ownAddress() {
    const address = new URL(host.location.href);
    address.searchParams.delete("code");
    address.searchParams.delete("state");
    // A browser carries this over from the address of WeChat's login.
    if (address.hash === "#wechat_redirect") address.hash = "";
    return address;
  }

  /** What `triesKey` was when the code arrived. */
  let asked = "";

  return {
    openid: () => recall(openidKey),

    /**
     * May this page ask who pays before anybody taps? Once in a tab, whatever came of it, and not if the tab
     * cannot remember that: it would ask for ever.
     */
    mayAskAtOnce: () => recall(atOnceKey) === "" && remembers(),

    /** @param {string} openid */
    remember: (openid) => keep(openidKey, openid),

    /** The code that arrived is known for what it was worth; a tap may have asked anew since. */
    settled() {
      if (recall(triesKey) === asked) keep(triesKey, "");
    },

    forget: () => keep(openidKey, ""),

    /**
     * The code that WeChat's login gave this page: it is taken out of the address bar at once.
     * `authorizations` is how often this tab has asked since the payer tapped; 0 if nobody tapped here.
     * If this tab has not asked at all, the code is `foreign`: somebody else's, in a link that was passed on.
     * Whoever brought it into a payment would pay as that somebody, so it is not used, unless this tab cannot
     * remember what it asked.
     */
    arrival() {
      const query = new URL(host.location.href).searchParams;
      const code = query.get("code");
      const state = query.get("state");
      asked = recall(triesKey);
      if (!code || !state) {
        keep(triesKey, "");
        return null;
      }
      const { pathname, search, hash } = ownAddress();
      host.history.replaceState(host.history.state, "", pathname + search + hash);
      return { code, state, authorizations: Number(asked) || 0, foreign: asked === "" && remembers() };
    },

    /**
     * Leaves for WeChat's login, which comes back to this page.
     * @param {number} authorizations  with this one, since the payer tapped; 0 if nobody did
     */
    leave(authorizations) {
      keep(triesKey, String(authorizations));
      const query = new URLSearchParams({ client_secret });
      const own = ownAddress();
      // Without `return_to` the server leads back to its own page of this order.
      if (!own.pathname.endsWith("/pay/" + client_secret)) query.set("return_to", own.href.split("#")[0]);
      if (authorizations === 0) keep(atOnceKey, "1");
      // The page stays behind: where WeChat cannot log anybody in, the payer goes back to it.
      host.location.assign(api_url + "/v1/wechat/oauth/authorize?" + query);
    },
  };
}
