// A mini-program around a page: `/mini-program?page=<url>&appid=<appid>`.
//
// The page includes /assets/mini-program.js and finds `wx` there; its calls arrive here as messages
// {source, wx: {id, name, parameters}} and are answered with {source, wx: {id, result}}.

import { ask } from "/assets/api.js";
import { handTo, holder, listPayers, nameOf } from "/assets/payers.js";
import { speak, t } from "/assets/words.js";

const SOURCE = "wechat-pay-simulator";
const DEMO = "/assets/mini-program-demo.html";

const byId = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const cashier = byId("cashier");
const CALLS = { login, requestPayment };

let payers = [];
let payer = null;
let appid = query.get("appid");

start();

async function start() {
  byId("payer").addEventListener("change", (event) => {
    payer = payers.find((one) => one.id === event.target.value);
    handTo(payer);
    launch();
  });
  byId("reload").addEventListener("click", launch);
  // Only the cashier decides how it ends.
  cashier.addEventListener("cancel", (event) => event.preventDefault());
  window.addEventListener("message", beCalled);
  try {
    payers = await listPayers();
    appid ??= (await ask("merchant")).apps.find((app) => app.kind === "mini_program")?.appid;
  } catch {
    byId("problem").hidden = false;
  }
  payer = holder(payers);
  speak(draw);
  launch();
}

/** As when a payer leaves the mini-program and enters it again. */
function launch() {
  closeCashier();
  draw();
  byId("page").src = query.get("page") ?? DEMO;
}

function draw() {
  byId("problem").textContent = t("noAnswer");
  byId("appid").textContent = appid ?? "";
  byId("page").title = t("miniProgram");
  if (!payer) return;
  byId("payer").replaceChildren(...payers.map((one) => new Option(nameOf(one), one.id, false, one === payer)));
  const face = document.querySelector(".face");
  face.textContent = payer.name.slice(-1);
  face.dataset.payer = payer.id;
}

/** @param {MessageEvent} event */
async function beCalled({ source, origin, data }) {
  if (source !== byId("page").contentWindow || data?.source !== SOURCE || !data.wx) return;
  const { id, name, parameters } = data.wx;
  const result = await CALLS[name]?.(parameters);
  source.postMessage({ source: SOURCE, wx: { id, result } }, origin);
}

async function login() {
  try {
    const { code } = await ask("phone/login", { appid, payer: payer.id });
    return { errMsg: "login:ok", code };
  } catch (error) {
    return { errMsg: `login:fail ${error.message}` };
  }
}

/** Opens the phone's cashier; settles when it is closed. */
function requestPayment(parameters) {
  if (cashier.open) return { errMsg: "requestPayment:fail 正在支付" };
  const frame = document.createElement("iframe");
  frame.title = t("cashier");
  frame.src = `/phone?sheet&payer=${payer.id}`;
  cashier.replaceChildren(frame);
  cashier.showModal();
  return new Promise((settle) => {
    window.addEventListener("message", function hear({ source, data }) {
      if (!frame.isConnected) window.removeEventListener("message", hear);
      if (source !== frame.contentWindow || data?.source !== SOURCE) return;
      if (data.sheet === "ready") {
        frame.contentWindow.postMessage({ source: SOURCE, invoke: { cashier: "mini_program", appid, parameters } }, location.origin);
        frame.focus();
      }
      if (data.sheet === "closed") {
        window.removeEventListener("message", hear);
        closeCashier();
        const told = { ok: "requestPayment:ok", cancel: "requestPayment:fail cancel", fail: "requestPayment:fail" };
        settle({ errMsg: data.message ?? told[data.outcome] });
      }
    });
  });
}

function closeCashier() {
  cashier.close();
  cashier.replaceChildren();
}
