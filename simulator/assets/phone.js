// The payer's phone: a code, a decision, a result.
//
// A page that opened the phone, or shows it in a frame, hears the outcome the way the bridge in
// WeChat tells it: {source: "wechat-pay-simulator", outcome: "ok" | "cancel" | "fail", out_trade_no}.

import { ask } from "/assets/api.js";
import { speak, t, yuan } from "/assets/words.js";

const OUTCOMES = {
  pay: { title: "paid", note: "paidNote", seal: "paid", told: "ok" },
  cancel: { title: "left", note: "leftNote", seal: "left", told: "cancel" },
  fail: { title: "failed", note: "leftNote", seal: "failed", told: "fail" },
};

const byId = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
let phone = { screen: "scan", code: "", order: null, done: null, problem: null, busy: false };

speak(draw);
byId("scan").addEventListener("submit", (event) => {
  event.preventDefault();
  open(byId("code").value);
});
for (const button of document.querySelectorAll("[data-do]")) {
  button.addEventListener("click", () => decide(button.dataset.do));
}
byId("again").addEventListener("click", () => open(phone.code));
byId("rescan").addEventListener("click", () => become({ screen: "scan", code: "", order: null, problem: null }));

const given = query.get("code_url") ?? query.get("prepay_id") ?? query.get("code");
if (given) open(given);

async function open(code) {
  await attempt(async () => {
    const order = await ask(`phone?code=${encodeURIComponent(code)}`);
    const paid = order.trade_state === "SUCCESS";
    become({ screen: paid ? "result" : "pay", code, order, done: paid ? "pay" : null, problem: null });
  }, code);
}

async function decide(what) {
  await attempt(async () => {
    const order = await ask(`phone/${what}`, { code: phone.code });
    become({ screen: "result", order, done: what, problem: null });
    byId("result").focus();
    tell(OUTCOMES[what].told, order.out_trade_no);
  }, phone.code);
}

async function attempt(act, code) {
  become({ busy: true, problem: null });
  try {
    await act();
  } catch (error) {
    if (error.status === 404) become({ screen: "scan", code, problem: () => t("unknownCode") });
    else if (error.status === 409) await open(code);
    else become({ problem: () => (error.status ? error.message : t("noAnswer")) });
  }
  become({ busy: false });
}

function tell(outcome, out_trade_no) {
  const message = { source: "wechat-pay-simulator", outcome, out_trade_no };
  for (const other of [window.opener, window.parent]) {
    if (other && other !== window) other.postMessage(message, "*");
  }
}

function become(change) {
  const scanned = change.screen === "scan";
  phone = { ...phone, ...change };
  if (scanned) byId("code").value = phone.code;
  draw();
}

function draw() {
  const { screen, order, done, busy } = phone;
  for (const id of ["scan", "pay", "result"]) byId(id).hidden = id !== screen;
  for (const button of document.querySelectorAll("main button")) button.disabled = busy;
  const problem = phone.problem?.() ?? (screen === "pay" && order.reason ? t(`because_${order.reason}`) : null);
  for (const id of ["scan-problem", "pay-problem"]) {
    byId(id).hidden = !problem;
    byId(id).textContent = problem ?? "";
  }
  if (!order) return;
  byId("merchant").textContent = t("to", { mchid: order.merchant });
  byId("description").textContent = order.description;
  byId("number").textContent = order.out_trade_no;
  byId("amount").textContent = yuan(order.total);
  byId("result-amount").textContent = yuan(order.total);
  if (order.reason) document.querySelector("[data-do=pay]").disabled = true;
  if (!done) return;
  const { title, note, seal } = OUTCOMES[done];
  byId("seal").className = `seal ${seal}`;
  byId("result-title").textContent = t(title);
  byId("result-note").textContent = t(note);
  byId("again").hidden = done === "pay";
}
