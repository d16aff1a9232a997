// What a shop's backend does: it places orders and reads them. And what the payer's phone says.

let orders = 0;

/** @param {object} dev what dev.json says */
export function shopOf(dev) {
  async function ask(method, path, body) {
    const headers = { authorization: `Bearer ${dev.api_key}`, "content-type": "application/json" };
    const response = await fetch(dev.api_url + path, { method, headers, body: body && JSON.stringify(body) });
    const told = await response.json();
    if (!response.ok) throw new Error(`${response.status} ${JSON.stringify(told)}`);
    return told;
  }

  return {
    /** A new order: its id and secret, and its page outside (`url`) and inside (`wechat_url`) WeChat. */
    async place(fields = {}) {
      const merchant_order_no = `B-${process.pid}-${(orders += 1)}`;
      const asked = { merchant_order_no, description: "茉莉银毫", amount: { total: 1990, currency: "CNY" }, ...fields };
      const { order, client_secret, checkout_url } = await ask("POST", "/v1/orders", asked);
      return { id: order.id, client_secret, url: checkout_url, wechat_url: dev.wechat_url + new URL(checkout_url).pathname };
    },

    async read(id) {
      return (await ask("GET", `/v1/orders/${id}`)).order;
    },

    /** The payments of an order, from its timeline. */
    async payments(id) {
      const { timeline } = await ask("GET", `/v1/orders/${id}/timeline`);
      return timeline.filter((line) => line.kind === "payment_created").length;
    },

    close: (id) => ask("POST", `/v1/orders/${id}/close`),

    /** What the simulator's ledger says of an order's newest payment; the payer pays it if asked to. */
    async atWechat(id, act = "") {
      const { payment } = await this.read(id);
      const response = await fetch(`${dev.simulator_url}/_sim/payments/${payment.out_trade_no}${act}`, act ? { method: "POST" } : {});
      return response.json();
    },
  };
}

/** The simulated phone's cashier over a page inside WeChat. */
export function cashierOf(page) {
  return page.frameLocator("iframe[title=模拟的微信收银台], iframe[title='Simulated WeChat cashier']");
}

/** Types the password as a person does, and closes the cashier. */
export async function payInTheCashier(page) {
  const cashier = cashierOf(page);
  await cashier.getByRole("button", { name: "确认支付" }).click();
  await page.keyboard.type("123456");
  await cashier.getByRole("button", { name: "完成" }).click();
}
