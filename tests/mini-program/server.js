// A server that says what it is told to say, in the words of api/openapi.json.

import { createServer } from "node:http";

export const ORDER_ID = "ord_01JC3A0000000000000000TEA0";
export const SECRET = `cs_01JC3A0000000000000000TEA0${"a".repeat(43)}`;
export const OPENID = "oOpenidOfTheOnlyPayer0000001";
export const APP_ID = "wx00000000000000aa";

export const CALL_UP = Object.freeze({
  appId: APP_ID,
  timeStamp: "1795327200",
  nonceStr: "nonce",
  package: "prepay_id=wx01",
  signType: "RSA",
  paySign: "signature",
});

export const payment = (status, more) => ({ id: "pay_1", order_id: ORDER_ID, method: "mini_program", status, created_at: "2026-11-22T06:00:00Z", ...more });
export const PAYABLE = payment("awaiting_payment", { call_up: CALL_UP });

export const order = (status = "pending", its_payment = null) => ({
  id: ORDER_ID,
  status,
  amount: { total: 3990, currency: "CNY" },
  description: "一壶龙井",
  merchant: { name: "山茶小铺", support: "客服电话 020-0000-0000" },
  created_at: "2026-11-22T06:00:00Z",
  expires_at: "2026-11-22T08:00:00Z",
  paid_at: null,
  return_url: null,
  payment: its_payment,
});

export const problem = (status, code, more) => ({ status, body: { code, status, request_id: "req_1", retryable: false, ...more } });
/** The connection breaks. */
export const LOST = { lost: true };

const ROUTES = {
  login: "POST /v1/wechat/mini-program/login",
  open: `POST /v1/orders/${ORDER_ID}/payments`,
  read: "GET /v1/payments/pay_1",
  confirm: "POST /v1/payments/pay_1/confirm",
  order: `GET /v1/orders/${ORDER_ID}`,
};

/** What a server says that has an order nobody has paid yet. */
const USUAL = {
  login: { body: { app_id: APP_ID, openid: OPENID } },
  open: { body: { payment: PAYABLE } },
  read: { body: { payment: PAYABLE } },
  confirm: { body: { payment: PAYABLE } },
  order: { body: { order: order("pending", PAYABLE) } },
};

export class Server {
  /** What was asked, by the names of ROUTES, in order. */
  asked = [];
  /** The requests themselves. */
  requests = [];
  #says = {};

  static async start() {
    const server = new Server();
    server.http = createServer((request, response) => server.#answer(request, response));
    await new Promise((listening) => server.http.listen(0, "127.0.0.1", listening));
    server.url = `http://127.0.0.1:${server.http.address().port}`;
    return server;
  }

  /** From now on: for each name one answer, or several in turn of which the last one stays. */
  says(answers = {}) {
    this.#says = Object.fromEntries(Object.entries({ ...USUAL, ...answers }).map(([name, said]) => [name, [said].flat()]));
    this.asked = [];
    this.requests = [];
    return this;
  }

  async #answer(request, response) {
    let text = "";
    for await (const chunk of request) text += chunk;
    const asked = `${request.method} ${request.url}`;
    const name = Object.keys(ROUTES).find((name) => ROUTES[name] === asked) ?? asked;
    this.asked.push(name);
    this.requests.push({ url: request.url, headers: request.headers, body: text && JSON.parse(text) });
    const said = this.#says[name] ?? [{ status: 404, body: { code: "no_such_route" } }];
    const { lost, status = 200, headers = {}, body, text: plain } = said.length > 1 ? said.shift() : said[0];
    if (lost) return response.destroy();
    const type = status < 300 ? "application/json" : "application/problem+json";
    response.writeHead(status, { "content-type": plain ? "text/html" : type, ...headers }).end(plain ?? JSON.stringify(body));
  }

  stop() {
    this.http.closeAllConnections();
    this.http.close();
  }
}
