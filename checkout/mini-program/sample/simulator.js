/**
 * WeChat's part, played by everpaid's simulator: `wx` with another `login` and `requestPayment`.
 * For development only; nothing here belongs into a mini-program that takes money.
 */

/** @typedef {import("everpaid-mini-program").WeChat} WeChat */

/**
 * @param {WeChat & Pick<WechatMiniprogram.Wx, "showActionSheet">} wx
 * @param {string} url  of the simulator
 * @returns {WeChat}
 */
function simulated(wx, url) {
  /** @param {string} control @param {object=} body @returns {Promise<any>} */
  function ask(control, body) {
    return new Promise((resolve, reject) => {
      wx.request({
        url: url + "/_sim/" + control,
        method: body ? "POST" : "GET",
        data: body,
        success({ statusCode, data }) {
          const told = /** @type {any} */ (data);
          if (statusCode < 300) resolve(told);
          else reject(new Error(told.error));
        },
        fail: ({ errMsg }) => reject(new Error(errMsg)),
      });
    });
  }

  /** @returns {Promise<string>} */
  async function miniProgram() {
    const { apps } = await ask("merchant");
    return apps.find((/** @type {{kind: string}} */ app) => app.kind === "mini_program").appid;
  }

  /** The cashier, as a sheet of two lines; whoever closes it has cancelled. @param {any} order */
  function cashier(order) {
    return new Promise((resolve) => {
      wx.showActionSheet({
        alertText: order.merchant + " · " + order.description,
        itemList: ["确认支付", "余额不足"],
        success: ({ tapIndex }) => resolve(["pay", "fail"][tapIndex]),
        fail: () => resolve("cancel"),
      });
    });
  }

  /** @param {any} parameters @returns {Promise<string>} errMsg */
  async function requestPayment({ timeStamp, nonceStr, package: prepay, signType, paySign }) {
    const parameters = { timeStamp, nonceStr, package: prepay, signType, paySign };
    const invoked = await ask("phone/invoke", { cashier: "mini_program", appid: await miniProgram(), parameters });
    if (invoked.message) return invoked.message;
    const act = await cashier(invoked.order);
    await ask("phone/" + act, { code: prepay });
    return { pay: "requestPayment:ok", fail: "requestPayment:fail", cancel: "requestPayment:fail cancel" }[/** @type {"pay"} */ (act)];
  }

  return {
    request: (options) => wx.request(options),
    onAppShow: (listener) => wx.onAppShow(listener),
    offAppShow: (listener) => wx.offAppShow(listener),
    getAppBaseInfo: () => wx.getAppBaseInfo(),
    login: /** @type {WeChat["login"]} */ (
      answering("login", async () => ({ code: (await ask("phone/login", { appid: await miniProgram() })).code }))
    ),
    requestPayment: /** @type {WeChat["requestPayment"]} */ (
      answering("requestPayment", async (parameters) => ({ errMsg: await requestPayment(parameters) }))
    ),
  };
}

/**
 * Answers as `wx` does.
 * @param {string} name
 * @param {(parameters: any) => Promise<{errMsg?: string, code?: string}>} act
 */
function answering(name, act) {
  return (/** @type {any} */ options) => {
    const ok = name + ":ok";
    act(options)
      .then((answer) => Object.assign({ errMsg: ok }, answer))
      .catch((error) => ({ errMsg: name + ":fail " + error.message }))
      .then((answer) => {
        const heard = answer.errMsg === ok ? options.success : options.fail;
        if (heard) heard(answer);
        if (options.complete) options.complete(answer);
      });
  };
}

module.exports = { simulated };
