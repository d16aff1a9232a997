// A mini-program's page: log in, let the shop make an order, pay, and ask the shop what became of it.

import { makeOrder, findOrder, openSession } from "/assets/mini-program-demo-shop.js";
import { speak, t } from "/assets/words.js";

const byId = (id) => document.getElementById(id);
let said = null;

speak(() => (byId("said").textContent = said ? t(said) : ""));
byId("buy").addEventListener("click", buy);

async function buy() {
  byId("buy").disabled = true;
  byId("steps").replaceChildren();
  say(null);
  try {
    const { code } = await step("wx.login", wx.login());
    const session = await step("jscode2session", openSession(code));
    const { out_trade_no, callUp } = await step("/v3/pay/transactions/jsapi", makeOrder(session));
    try {
      await step("wx.requestPayment", wx.requestPayment(callUp));
      say("demoAsking");
    } finally {
      // Whatever the client said: the shop asks WeChat Pay.
      const paid = (await step("/v3/pay/transactions/out-trade-no", findOrder(out_trade_no))).trade_state === "SUCCESS";
      say(paid ? "paid" : "demoUnpaid");
    }
  } catch {
    if (!said) say("demoBroke");
  }
  byId("buy").disabled = false;
}

/** Shows a step and what came of it. */
async function step(name, working) {
  const line = document.createElement("li");
  line.textContent = name;
  byId("steps").append(line);
  const done = (how, text) => {
    line.className = how;
    line.textContent = `${name} → ${text}`;
  };
  try {
    const result = await working;
    done("done", result.errMsg ?? result.trade_state ?? "ok");
    return result;
  } catch (error) {
    done("broken", error.errMsg ?? error.message);
    throw error;
  }
}

function say(what) {
  said = what;
  byId("said").textContent = what ? t(what) : "";
}
