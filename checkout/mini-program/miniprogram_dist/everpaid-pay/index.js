/** `everpaid-pay`: an order with its button. Unstyled: slots and classes are the shop's. */

const { Checkout } = require("../checkout");
const { initial, screenOf } = require("../screen");
const { complete } = require("../settings");
const { languageFor } = require("../words");

/** WeChat's own size of type, before the payer's scale. */
const FONT_PX = 17;

/** @typedef {import("../checkout").CheckoutType} CheckoutType */
/** @type {WeakMap<object, CheckoutType>} */
const checkouts = new WeakMap();

Component({
  options: { multipleSlots: true },

  externalClasses: ["everpaid-class", "everpaid-amount-class", "everpaid-message-class", "everpaid-button-class"],

  properties: {
    /** The order's `client_secret`; it may come later. */
    clientSecret: String,
    /** Where everpaid is, if `configure` does not say. */
    baseUrl: String,
    /** This mini-program's appid, if the merchant has several. */
    appId: String,
  },

  data: Object.assign({ fontPx: FONT_PX }, screenOf(initial(), "zh")),

  observers: {
    "clientSecret, baseUrl, appId"() {
      this.open();
    },
  },

  lifetimes: {
    attached() {
      const { fontSizeScaleFactor, language } = complete({ clientSecret: "" }).wx.getAppBaseInfo();
      this.setData({ fontPx: FONT_PX * (fontSizeScaleFactor || 1) });
      const checkout = new Checkout(languageFor(language), {
        draw: (screen) => this.setData(screen),
        ended: (result) => this.triggerEvent("result", result),
        paid: (order) => this.triggerEvent("paid", { order }),
      });
      checkouts.set(this, checkout);
      this.open();
    },
    detached() {
      withCheckout(this, (checkout) => checkout.open(null));
    },
  },

  pageLifetimes: {
    show() {
      withCheckout(this, (checkout) => checkout.show());
    },
    hide() {
      withCheckout(this, (checkout) => checkout.hide());
    },
  },

  methods: {
    onTap() {
      withCheckout(this, (checkout) => checkout.tap());
    },

    /** Shows the order that the properties name. */
    open() {
      const { clientSecret, baseUrl, appId } = this.data;
      const given = Object.assign({ clientSecret }, baseUrl && { baseUrl }, appId && { appId });
      withCheckout(this, (checkout) => checkout.open(clientSecret ? given : null));
    },
  },
});

/** Properties are set before there is anything to show them. */
function withCheckout(/** @type {object} */ component, /** @type {(checkout: CheckoutType) => void} */ act) {
  const checkout = checkouts.get(component);
  if (checkout) act(checkout);
}
