/** Where `cargo run` has its parts. With a shop and an everpaid of your own, change the first and drop the second. */
module.exports = {
  shopUrl: "http://127.0.0.1:8703",
  /** "" for WeChat itself. */
  simulatorUrl: "http://127.0.0.1:8701",
};
