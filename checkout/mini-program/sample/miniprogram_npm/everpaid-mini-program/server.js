/** Asks the server. Every answer is a value or a `Refusal`; nothing here decides what it means. */

/** @typedef {import("./index").Order} Order */
/** @typedef {import("./index").Payment} Payment */
/** @typedef {import("./index").WeChat} WeChat */
/** @typedef {Refusal} RefusalType */

const { orderIdOf } = require("./decide");

const ANSWER_MS_MAX = 15000;
/** Nobody holds a phone any longer than that for a server that said when to come back. */
const PATIENCE_MS_MAX = 10000;

/** What the server, WeChat or the network would not do. */
class Refusal extends Error {
  /** @param {{code: string, status?: number, retryable?: boolean, retry_after_ms?: number, request_id?: string, detail?: string}} told */
  constructor(told) {
    super(told.code);
    this.code = told.code;
    this.status = told.status || 0; // 0: no answer came
    this.retry_after_ms = told.retry_after_ms || 1000;
    this.retryable = told.retryable === true && this.retry_after_ms <= PATIENCE_MS_MAX;
    this.request_id = told.request_id;
    this.detail = told.detail;
  }

  /** A wrong link and a foreign one look the same. */
  get isForTheLink() {
    return this.status === 401 || this.status === 403 || this.status === 404 || this.code === "client_secret_invalid";
  }
}

/**
 * @param {WeChat} wx
 * @param {string} baseUrl
 * @param {string} clientSecret
 */
function connect(wx, baseUrl, clientSecret) {
  const orderId = orderIdOf(clientSecret);
  const order = "/v1/orders/" + orderId;
  const payment = (/** @type {string} */ id) => "/v1/payments/" + id;

  /**
   * @param {"GET"|"POST"} method
   * @param {string} path
   * @param {Record<string, unknown>=} body
   * @returns {Promise<{told: any, retry_after_ms: number}>}
   */
  function ask(method, path, body) {
    return new Promise((resolve, reject) => {
      if (!orderId) return reject(new Refusal({ code: "client_secret_invalid" }));
      wx.request({
        url: baseUrl.replace(/\/+$/, "") + path,
        method,
        header: {
          Accept: "application/json",
          Authorization: "Bearer " + clientSecret,
          "Content-Type": "application/json",
        },
        data: body,
        timeout: ANSWER_MS_MAX,
        success({ statusCode, data, header }) {
          /** @type {any} */
          const told = isObject(data) ? data : {};
          const retry_after_ms = retryAfter(header);
          if (statusCode >= 200 && statusCode < 300) return resolve({ told, retry_after_ms });
          const { code = "unknown", request_id, retryable = statusCode >= 500 || statusCode === 429 } = told;
          reject(new Refusal({ code, status: statusCode, retryable, retry_after_ms, request_id }));
        },
        fail({ errMsg }) {
          reject(new Refusal({ code: "network", retryable: true, detail: errMsg }));
        },
      });
    });
  }

  return {
    /** @returns {Promise<Order>} */
    async readOrder() {
      // Of an order that has long been at rest the server tells no more than how it stands.
      return Object.assign({ description: "", paid_at: null, return_url: null, payment: null }, part(await ask("GET", order), "order"));
    },

    /**
     * Who holds the phone, by a code of `wx.login`. The session key stays on the server.
     * @param {string} code
     * @param {string=} appId
     * @returns {Promise<{app_id: string, openid: string}>}
     */
    async logIn(code, appId) {
      const { told } = await ask("POST", "/v1/wechat/mini-program/login", { code, app_id: appId });
      if (typeof told.openid !== "string" || typeof told.app_id !== "string") throw notOurs();
      return told;
    },

    /**
     * Opens a payment, or gets the live one again.
     * @param {{app_id: string, openid: string}} payer
     * @param {number=} expectedTotal
     */
    async openPayment({ app_id, openid }, expectedTotal) {
      const body = { method: "mini_program", app_id, openid, expected_total: expectedTotal };
      const answer = await ask("POST", order + "/payments", body);
      return { payment: paymentIn(answer), retry_after_ms: answer.retry_after_ms };
    },

    /** @param {string} id */
    async readPayment(id) {
      const answer = await ask("GET", payment(id));
      return { payment: paymentIn(answer), retry_after_ms: answer.retry_after_ms };
    },

    /**
     * Has the server ask WeChat Pay now.
     * @param {string} id
     */
    async confirmPayment(id) {
      return paymentIn(await ask("POST", payment(id) + "/confirm", {}));
    },
  };
}

/**
 * What an answer is about.
 * @param {{told: any}} answer
 * @param {string} name
 */
function part({ told }, name) {
  if (!isObject(told[name]) || typeof told[name].status !== "string") throw notOurs();
  return told[name];
}

/** Something between us and the server, a hotel's login page say, may answer 200 in its place. */
function notOurs() {
  return new Refusal({ code: "network", retryable: true, detail: "the answer is not everpaid's" });
}

/** @returns {Payment} */
function paymentIn(/** @type {{told: any}} */ answer) {
  return part(answer, "payment");
}

/** @param {unknown} value @returns {value is any} */
function isObject(value) {
  return typeof value === "object" && value !== null;
}

/** Header names come in any case. */
function retryAfter(/** @type {Record<string, string>} */ header = {}) {
  const name = Object.keys(header).find((name) => name.toLowerCase() === "retry-after");
  const seconds = Number(name && header[name]);
  return seconds > 0 ? seconds * 1000 : 1000;
}

module.exports = { Refusal, connect };
