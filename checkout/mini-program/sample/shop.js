/** The shop's backend, as this mini-program sees it: it sells, and says which order that made. */

const { shopUrl } = require("./config");

/**
 * @param {string} product
 * @returns {Promise<{baseUrl: string, clientSecret: string}>}
 */
function buy(product) {
  return new Promise((resolve, reject) => {
    wx.request({
      url: shopUrl + "/buy",
      method: "POST",
      data: { product },
      success({ statusCode, data }) {
        // The demo shop answers with the checkout page's address, which ends with the order's client secret.
        const { checkout_url = "" } = /** @type {{checkout_url?: string}} */ (data);
        const parts = /^(https?:\/\/[^/]+)\/pay\/(\w+)$/.exec(checkout_url);
        if (parts) resolve({ baseUrl: parts[1], clientSecret: parts[2] });
        else reject(new Error("the shop answered " + statusCode));
      },
      fail: ({ errMsg }) => reject(new Error(errMsg)),
    });
  });
}

module.exports = { buy };
