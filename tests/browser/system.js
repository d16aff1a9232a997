// A running `everpaid dev`, its shop and a browser, for all tests of the file that imports this.

import { before, after } from "node:test";

import { launch } from "./chromium.js";
import { Everpaid } from "./everpaid.js";
import { shopOf } from "./shop.js";

export const everpaid = new Everpaid();
/** What dev.json says; started again, it says the same. */
export let dev;
/** @type {ReturnType<typeof shopOf>} */
export let shop;
/** @type {import("playwright-core").Browser} */
export let browser;

// A file with a `before` of its own starts its own: Node runs those of a file side by side.
before(async () => {
  dev = await everpaid.start();
  shop = shopOf(dev);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await everpaid.stop();
});
