/** Asks the server. Every answer is a value or a `Refusal`; nothing here decides what it means. */

const ANSWER_MS_MAX = 15000;

/** What the server, or the network, would not do. */
export class Refusal extends Error {
  /** @param {{status: number, code: string, request_id?: string, retry_after_ms?: number}} told */
  constructor(told) {
    super(told.code);
    this.status = told.status; // 0: no answer came
    this.code = told.code;
    this.request_id = told.request_id;
    this.retry_after_ms = told.retry_after_ms || 1000;
  }

  /** A wrong link and a foreign one look the same. */
  get isForTheLink() {
    return this.status === 401 || this.status === 403 || this.status === 404;
  }

  /** Nobody said no: the same again may work in a moment. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/**
 * The order that a secret is for: its id is in it.
 * @param {string} client_secret
 */
export function orderOf(client_secret) {
  return "ord_" + client_secret.slice(3, 29);
}

/**
 * @typedef {import("./order.js").Order} Order
 * @typedef {import("./order.js").Payment} Payment
 * @typedef {{method: "native"} | {method: "mini_program", app_id: string, openid: string}} Wanted
 */

/**
 * @param {string} api_url  without a slash at the end
 * @param {string} client_secret  the order's
 */
export function connect(api_url, client_secret) {
  const authorization = "Bearer " + client_secret;
  const query = "?client_secret=" + encodeURIComponent(client_secret);
  const order = "/v1/orders/" + encodeURIComponent(orderOf(client_secret));
  /** @param {string} id */
  const payment = (id) => "/v1/payments/" + encodeURIComponent(id);

  /**
   * @param {"GET"|"POST"} method
   * @param {string} path
   * @param {object=} body
   */
  async function ask(method, path, body) {
    /** @type {Record<string, string>} */
    const headers = { Accept: "application/json", Authorization: authorization };
    if (body) headers["Content-Type"] = "application/json";
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), ANSWER_MS_MAX);
    try {
      const response = await fetch(api_url + path, {
        method,
        headers,
        body: body && JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        referrerPolicy: "no-referrer",
        signal: patience.signal,
      });
      if (!response.ok) throw refusal(response, await response.json().catch(() => ({})));
      const told = await response.json(); // one that breaks off, or is no JSON, is no answer
      return { told, now: Date.parse(response.headers.get("Date") || "") || Date.now(), retry_after_ms: retryAfter(response) };
    } catch (error) {
      throw error instanceof Refusal ? error : new Refusal({ status: 0, code: "network" });
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    /** The order and the server's time. @returns {Promise<{order: Order, now: number}>} */
    async readOrder() {
      const { told, now } = await ask("GET", order);
      // Of an order that has long been at rest the server tells no more than how it stands.
      return { order: Object.assign({ description: "", paid_at: null, return_url: null, payment: null }, told.order), now };
    },

    /**
     * Opens a payment, or gets the live one again; `retry_after_ms` says when to look if it is not ready yet.
     * @param {Wanted} wanted
     * @param {number} expected_total
     * @returns {Promise<{payment: Payment, retry_after_ms: number}>}
     */
    async openPayment(wanted, expected_total) {
      const { told, retry_after_ms } = await ask("POST", order + "/payments", Object.assign({ expected_total }, wanted));
      return { payment: told.payment, retry_after_ms };
    },

    /** @param {string} id @returns {Promise<{payment: Payment, retry_after_ms: number}>} */
    async readPayment(id) {
      const { told, retry_after_ms } = await ask("GET", payment(id));
      return { payment: told.payment, retry_after_ms };
    },

    /** Has the server ask WeChat Pay now. @param {string} id @returns {Promise<{payment: Payment}>} */
    async confirmPayment(id) {
      const { told } = await ask("POST", payment(id) + "/confirm");
      return { payment: told.payment };
    },

    /**
     * Trades the code of WeChat's login for who the payer is.
     * @param {{code: string, state: string}} arrived
     * @returns {Promise<{app_id: string, openid: string}>}
     */
    async exchange({ code, state }) {
      const { told } = await ask("POST", "/v1/wechat/oauth/openid", { code, state });
      return { app_id: told.app_id, openid: told.openid };
    },

    /**
     * The address of a payment's QR code. A refreshed payment keeps its id, so a later code is asked for by its
     * end: a browser would show the old one again otherwise.
     * @param {Payment} of
     */
    qrAddress({ id, code_url_expires_at }) {
      return api_url + payment(id) + "/qr.svg" + query + "&until=" + (Date.parse(code_url_expires_at || "") || 0);
    },

    /**
     * Hears that something happened to the order. A hint carries no truth: read the order.
     * @param {{hint: () => void, heard: (live: boolean, over: boolean) => void}} on
     * @returns {() => void} stops listening
     */
    followOrder(on) {
      if (typeof EventSource === "undefined") return () => {};
      const events = new EventSource(api_url + order + "/events" + query);
      events.addEventListener("order", on.hint);
      events.addEventListener("open", () => on.heard(true, false));
      events.addEventListener("error", () => on.heard(false, events.readyState === EventSource.CLOSED));
      return () => events.close();
    },
  };
}

/**
 * @param {Response} response
 * @param {{code?: string, request_id?: string}} told
 */
function refusal(response, told) {
  return new Refusal({
    status: response.status,
    code: told.code || "unknown",
    request_id: told.request_id,
    retry_after_ms: retryAfter(response),
  });
}

/** @param {Response} response */
function retryAfter(response) {
  const seconds = Number(response.headers.get("Retry-After"));
  return seconds > 0 ? Math.min(seconds, 30) * 1000 : 1000;
}
