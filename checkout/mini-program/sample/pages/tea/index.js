const { buy } = require("../../shop");

Page({
  data: {
    clientSecret: "",
    baseUrl: "",
    isBuying: false,
    note: "",
  },

  async onBuy() {
    this.setData({ isBuying: true, note: "" });
    try {
      this.setData(await buy("jasmine"));
    } catch (_) {
      this.setData({ note: "没有下单成功。请在电脑上运行 cargo run，再试一次。" });
    }
    this.setData({ isBuying: false });
  },

  /** The server says that it is paid: what the shop does next belongs here. */
  onPaid() {
    this.setData({ note: "茶叶已在路上。" });
  },
});
