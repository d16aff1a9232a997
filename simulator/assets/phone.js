// The payer's phone: a code, a decision, a result.
//
// A page that opened the phone, or shows it in a frame, hears the outcome the way the bridge in
// WeChat tells it: {source: "wechat-pay-simulator", outcome: "ok" | "cancel" | "fail", out_trade_no}.
//
// As a sheet (`/phone?sheet`) it is the cashier that a page or a mini-program calls up. It says
// {source, sheet: "ready"}, is given {source, invoke: {cashier, appid, parameters}}, and ends with
// {source, sheet: "closed", outcome, message, shown}; `message`, when there is one, is what the caller
// must hear word for word, and `shown` what the payer saw.

import { ask } from "/assets/api.js";
import { passwordPad } from "/assets/password.js";
import { handTo, holder, listPayers, nameOf } from "/assets/payers.js";
import { moment, speak, t, yuan } from "/assets/words.js";

const SOURCE = "wechat-pay-simulator";
const OUTCOMES = {
  pay: { title: "paid", note: "paidNote", seal: "paid", told: "ok" },
  cancel: { title: "left", note: "leftNote", seal: "left", told: "cancel" },
  later: { title: "putOff", note: "putOffNote", seal: "left", told: "cancel" },
  fail: { title: "failed", note: "leftNote", seal: "failed", told: "fail" },
};
const SCREENS = ["scan", "pay", "result", "refused"];

const byId = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const isSheet = query.has("sheet");
const typePassword = passwordPad();

let payers = [];
let payer = null;
let phone = { screen: null, code: "", order: null, done: null, refused: null, waiting: [], problem: null, busy: false };

start();

async function start() {
  document.body.classList.toggle("sheet", isSheet);
  byId("home").hidden = isSheet;
  listen();
  speak(draw);
  try {
    payers = await listPayers();
  } catch {
    return become({ screen: "scan", problem: () => t("noAnswer") });
  }
  payer = payers.find((one) => one.id === query.get("payer")) ?? holder(payers);
  const given = query.get("code_url") ?? query.get("prepay_id") ?? query.get("code");
  if (isSheet) {
    window.addEventListener("message", beInvoked);
    window.parent.postMessage({ source: SOURCE, sheet: "ready" }, "*");
  } else if (given) await open(given);
  else await goHome();
}

function listen() {
  byId("scan-form").addEventListener("submit", (event) => {
    event.preventDefault();
    open(byId("code").value);
  });
  for (const button of document.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => decide(button.dataset.do));
  }
  byId("payer").addEventListener("change", (event) => {
    payer = payers.find((one) => one.id === event.target.value);
    handTo(payer);
    goHome();
  });
  byId("again").addEventListener("click", () => open(phone.code));
  byId("rescan").addEventListener("click", () => goHome());
  byId("finish").addEventListener("click", () => (isSheet ? closeSheet("ok") : goHome()));
  byId("give-up").addEventListener("click", () => closeSheet("fail"));
  byId("close-refused").addEventListener("click", () => closeSheet("fail", phone.refused));
  if (isSheet) {
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && phone.screen === "pay" && !byId("password").open) decide("cancel");
    });
  }
}

/** @param {MessageEvent} event */
async function beInvoked({ source, data }) {
  if (source !== window.parent || data?.source !== SOURCE || !data.invoke) return;
  const { cashier, appid, parameters } = data.invoke;
  try {
    const invoked = await ask("phone/invoke", { cashier, appid, parameters, payer: payer.id });
    if (invoked.order) {
      become({ screen: "pay", code: invoked.code, order: invoked.order, done: null });
      byId("pay").focus({ preventScroll: true });
    } else if (invoked.shown) {
      become({ screen: "refused", refused: invoked });
      byId("close-refused").focus();
    } else closeSheet("fail", invoked);
  } catch {
    closeSheet("fail");
  }
}

function closeSheet(outcome, { message, shown } = {}) {
  window.parent.postMessage({ source: SOURCE, sheet: "closed", outcome, message, shown }, "*");
}

async function goHome(problem = null) {
  const { unpaid } = await ask(`phone/unpaid?payer=${payer.id}`).catch(() => ({ unpaid: [] }));
  become({ screen: "scan", code: "", order: null, done: null, waiting: unpaid, problem });
}

async function open(code) {
  await attempt(async () => {
    const order = await ask("phone/open", { code, payer: payer.id });
    const paid = ["SUCCESS", "REFUND"].includes(order.trade_state);
    become({ screen: paid ? "result" : "pay", code, order, done: paid ? "pay" : null, problem: null });
    byId(phone.screen).focus({ preventScroll: true });
  }, code);
}

async function decide(what) {
  if (what === "pay") return pay();
  await attempt(async () => {
    const order = await ask(`phone/${what}`, { code: phone.code });
    await settle(what, order);
  }, phone.code);
}

async function pay() {
  const { code } = phone;
  let taken = null;
  let failed = null;
  await typePassword(async (password) => {
    try {
      taken = await ask("phone/pay", { code, payer: payer.id, password });
      return null;
    } catch (error) {
      if (error.status === 403) return "wrongPassword";
      failed = error;
      return null;
    }
  });
  await attempt(async () => {
    if (failed) throw failed;
    if (taken) await settle("pay", taken);
  }, code);
}

async function settle(what, order) {
  const { told } = OUTCOMES[what];
  if (isSheet && told === "cancel") return closeSheet("cancel");
  become({ screen: "result", order, done: what, problem: null });
  byId("result").focus({ preventScroll: true });
  if (!isSheet) tell(told, order.out_trade_no);
}

async function attempt(act, code) {
  become({ busy: true, problem: null });
  try {
    await act();
  } catch (error) {
    if (error.status === 404) {
      await goHome(() => t("unknownCode"));
      byId("code").value = code;
    } else if (error.status === 409) await open(code);
    else become({ screen: phone.screen ?? "scan", problem: () => (error.status ? error.message : t("noAnswer")) });
  }
  become({ busy: false });
}

function tell(outcome, out_trade_no) {
  const message = { source: SOURCE, outcome, out_trade_no };
  for (const other of [window.opener, window.parent]) {
    if (other && other !== window) other.postMessage(message, "*");
  }
}

function become(change) {
  const goesHome = change.screen === "scan" && phone.screen !== "scan";
  phone = { ...phone, ...change };
  if (goesHome) byId("code").value = phone.code;
  draw();
}

function draw() {
  const { screen, order, done, busy, waiting } = phone;
  for (const id of SCREENS) byId(id).hidden = id !== screen;
  for (const button of document.querySelectorAll("main button")) button.disabled = busy;
  const problem = phone.problem?.() ?? (screen === "pay" && order.reason ? t(`because_${order.reason}`) : null);
  for (const at of ["scan", "pay"]) {
    byId(`${at}-problem`).hidden = !problem || at !== screen;
    byId(`${at}-problem`).textContent = at === screen ? problem : "";
  }
  if (payer) drawPayer();
  byId("nothing-waits").hidden = waiting.length > 0;
  byId("waiting").replaceChildren(...waiting.map(waitingRow));
  byId("refused-why").textContent = phone.refused?.shown ?? "";
  if (order) drawOrder(order);
  if (order && done) drawResult(order, OUTCOMES[done]);
}

function drawPayer() {
  byId("payer").replaceChildren(...payers.map((one) => new Option(nameOf(one), one.id, false, one === payer)));
  byId("payer-name").textContent = nameOf(payer);
  for (const face of document.querySelectorAll(".face")) {
    face.textContent = payer.name.slice(-1);
    face.dataset.payer = payer.id;
  }
}

function drawOrder(order) {
  for (const id of ["merchant", "password-merchant"]) byId(id).textContent = t("to", { merchant: order.merchant });
  for (const id of ["amount", "password-amount", "result-amount"]) byId(id).textContent = yuan(order.total);
  byId("description").textContent = order.description;
  byId("number").textContent = order.out_trade_no;
  if (order.reason) {
    for (const button of document.querySelectorAll("[data-do=pay], .tray button")) button.disabled = true;
  }
}

function drawResult(order, { title, note, seal }) {
  const paid = seal === "paid";
  byId("seal").className = `seal ${seal}`;
  byId("result-title").textContent = t(title);
  byId("result-note").textContent = t(note);
  byId("receipt").hidden = !paid;
  byId("receipt-merchant").textContent = order.merchant;
  byId("receipt-description").textContent = order.description;
  byId("receipt-time").textContent = paid ? moment(order.paid_at) : "";
  byId("receipt-transaction").textContent = order.transaction_id ?? "";
  byId("finish").hidden = !paid;
  byId("again").hidden = paid;
  byId("rescan").hidden = paid || isSheet;
  byId("give-up").hidden = paid || !isSheet;
}

function waitingRow(order) {
  const row = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  for (const [className, text] of [["what", order.description], ["sum", `¥${yuan(order.total)}`], ["when", moment(order.created_at)]]) {
    const part = document.createElement("span");
    part.className = className;
    part.textContent = text;
    button.append(part);
  }
  button.addEventListener("click", () => open(order.code_url ?? order.prepay_id));
  row.append(button);
  return row;
}
