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
    this.retry_after_ms = told.retry_after_ms;
  }

  /** A wrong link and a foreign one look the same. */
  get isForTheLink() {
    return this.status === 401 || this.status === 403 || this.status === 404;
  }
}

/**
 * @param {string} secret  the order's client secret
 */
export function connect(secret) {
  const authorization = "Bearer " + secret;
  const query = "?client_secret=" + encodeURIComponent(secret);
  const order = (id) => "/v1/orders/" + encodeURIComponent(id);
  const payment = (id) => "/v1/payments/" + encodeURIComponent(id);

  async function ask(method, path, body) {
    const headers = { Accept: "application/json", Authorization: authorization };
    if (body) headers["Content-Type"] = "application/json";
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), ANSWER_MS_MAX);
    try {
      const response = await fetch(path, {
        method,
        headers,
        body: body && JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        referrerPolicy: "no-referrer",
        signal: patience.signal,
      });
      const told = await response.json().catch(() => ({}));
      if (!response.ok) throw refusal(response, told);
      return { told, now: Date.parse(response.headers.get("Date")) || Date.now(), retry_after_ms: retryAfter(response) };
    } catch (error) {
      throw error instanceof Refusal ? error : new Refusal({ status: 0, code: "network" });
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    /** The order and the server's time. */
    async readOrder(id) {
      const { told, now } = await ask("GET", order(id));
      return { order: told.order, now };
    },

    /** Opens a payment, or gets the live one again; `retry_after_ms` says when to look if it has no code yet. */
    async openPayment(id, expected_total) {
      const { told, retry_after_ms } = await ask("POST", order(id) + "/payments", { method: "native", expected_total });
      return { payment: told.payment, retry_after_ms };
    },

    async readPayment(id) {
      const { told, retry_after_ms } = await ask("GET", payment(id));
      return { payment: told.payment, retry_after_ms };
    },

    /** Has the server ask WeChat Pay now. */
    async confirmPayment(id) {
      const { told } = await ask("POST", payment(id) + "/confirm");
      return { payment: told.payment };
    },

    qrAddress(id) {
      return payment(id) + "/qr.svg" + query;
    },

    /**
     * Hears that something happened to the order. A hint carries no truth: read the order.
     * @param {{hint: () => void, heard: (live: boolean, over: boolean) => void}} on
     * @returns {() => void} stops listening
     */
    followOrder(id, on) {
      if (typeof EventSource === "undefined") return () => {};
      const events = new EventSource(order(id) + "/events" + query);
      events.addEventListener("order", on.hint);
      events.addEventListener("open", () => on.heard(true, false));
      events.addEventListener("error", () => on.heard(false, events.readyState === EventSource.CLOSED));
      return () => events.close();
    },
  };
}

function refusal(response, told) {
  return new Refusal({
    status: response.status,
    code: told.code || "unknown",
    request_id: told.request_id,
    retry_after_ms: retryAfter(response),
  });
}

function retryAfter(response) {
  const seconds = Number(response.headers.get("Retry-After"));
  return seconds > 0 ? Math.min(seconds, 30) * 1000 : 1000;
}
