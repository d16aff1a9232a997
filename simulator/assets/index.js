// The merchant's view: what happens at the simulator, as it happens.
//
// The stream of events says when there is something new; what is new is read from the controls.

import { ask, drop } from "/assets/api.js";
import { keyed } from "/assets/dom.js";
import { faultRow, merchantRow, notificationRow, paymentRow, refundRow, scenarioRow } from "/assets/index-rows.js";
import { moment, speak, t, yuan } from "/assets/words.js";

/** The kinds of fault, for the form; the simulator refuses what it does not know. */
const KINDS = [
  "slow", "slow_before", "status_429", "status_500", "status_502", "status_503", "html", "accepted_202", "empty",
  "wrong_signature", "probe_signature", "cut_before", "cut_after", "not_found", "pay_before_answer", "down",
  "silent", "duplicate", "delay", "wrong_amount", "wrong_appid", "wrong_mchid", "wrong_currency", "unknown_number",
];
const SHOWN = 50;
const NOTIFICATIONS_SHOWN = 20;

const byId = (id) => document.getElementById(id);
/** Payments whose details are open, with those details. */
const details = new Map();
let seen = { merchants: [], payments: [], refunds: [], notifications: [], faults: [], scenarios: [], ledger: null, clock: null, readAt: 0 };
let isLive = false;
let isReading = false;
let readAgain = false;

byId("base").textContent = location.origin;
byId("kinds").replaceChildren(...KINDS.map((kind) => new Option(kind, kind)));
speak(draw);
listen();
setInterval(drawClock, 1000);

const events = new EventSource("/_sim/events");
events.addEventListener("changed", look);
events.addEventListener("open", () => setLive(true));
events.addEventListener("error", () => setLive(false));

function setLive(live) {
  isLive = live;
  draw();
}

/** Reads everything that is shown; what changes meanwhile is read once more. */
async function look() {
  readAgain = isReading;
  if (isReading) return;
  isReading = true;
  try {
    const [{ merchants }, { payments }, { refunds }, { notifications }, { faults }, { scenarios }, ledger, clock] = await Promise.all([
      askIfThere("merchants", async () => ({ merchants: [await ask("merchant")] })),
      ask(`payments?limit=${SHOWN}`),
      askIfThere(`refunds?limit=${SHOWN}`, () => ({ refunds: [] })),
      ask(`notifications?limit=${NOTIFICATIONS_SHOWN}`),
      ask("faults"),
      askIfThere("scenarios", () => ({ scenarios: [] })),
      ask("ledger"),
      ask("clock"),
    ]);
    seen = { merchants, payments, refunds, notifications, faults, scenarios, ledger, clock, readAt: performance.now() };
    await Promise.all([...details.keys()].map(readDetails));
    isLive = true;
  } catch {
    isLive = false;
  }
  draw();
  isReading = false;
  if (readAgain) look();
}

async function askIfThere(target, otherwise) {
  try {
    return await ask(target);
  } catch (error) {
    if (error.status === 404) return otherwise();
    throw error;
  }
}

async function readDetails(key) {
  const [mchid, number] = key.split("/");
  details.set(key, await ask(`payments/${encodeURIComponent(number)}?mchid=${mchid}`));
}

async function showDetails(payment, isOpen) {
  const key = keyOf(payment);
  if (!isOpen) details.delete(key);
  else if (!details.has(key)) {
    await readDetails(key).catch(() => {});
    draw();
  }
}

const keyOf = ({ mchid, out_trade_no }) => `${mchid}/${out_trade_no}`;

/** Lets somebody do something, and says what was wrong with it. */
async function act(doing, problem = byId("fault-problem")) {
  problem.hidden = true;
  try {
    await doing();
  } catch (error) {
    problem.textContent = error.status ? error.message : t("noAnswer");
    problem.hidden = false;
  }
}

function listen() {
  for (const button of document.querySelectorAll("[data-advance]")) {
    button.addEventListener("click", () => act(() => ask("clock", { advance_seconds: Number(button.dataset.advance) })));
  }
  byId("freeze").addEventListener("click", () => act(() => ask("clock", { frozen: !seen.clock.frozen })));
  byId("clear-faults").addEventListener("click", () => act(() => drop("faults")));
  byId("add-fault").addEventListener("submit", (event) => {
    event.preventDefault();
    const [kind, times, delay] = ["kind", "times", "delay"].map((id) => byId(id).value.trim());
    const fault = { kind, ...(times && { times: Number(times) }), ...(delay && { delay_ms: Number(delay) }) };
    act(async () => {
      await ask("faults", fault);
      event.target.reset();
    });
  });
}

function draw() {
  byId("live").textContent = isLive ? t("live") : "";
  byId("live").classList.toggle("on", isLive);
  byId("lost").hidden = isLive || !seen.clock;
  const { merchants, payments, refunds, notifications, faults, scenarios } = seen;
  const several = merchants.length > 1;
  keyed(byId("merchants"), merchants, ({ mchid }) => mchid, merchantRow);
  byId("taken").textContent = seen.ledger ? taken(seen.ledger) : "…";
  byId("no-orders").hidden = payments.length > 0;
  const shown = payments.map((payment) => ({ payment, details: details.get(keyOf(payment)), several }));
  keyed(byId("orders"), shown, ({ payment }) => keyOf(payment), (item) => paymentRow(item, showDetails));
  byId("refunds-section").hidden = refunds.length === 0;
  keyed(byId("refunds"), refunds, ({ refund_id }) => refund_id, (refund) => refundRow(refund, settleRefund));
  byId("notifications-section").hidden = notifications.length === 0;
  keyed(byId("notifications"), notifications, ({ id }) => id, notificationRow);
  byId("no-faults").hidden = faults.length > 0;
  byId("clear-faults").hidden = faults.length < 2;
  keyed(byId("faults"), faults, ({ id }) => id, (fault) => faultRow(fault, () => act(() => drop(`faults/${fault.id}`))));
  byId("scenarios-section").hidden = scenarios.length === 0;
  keyed(byId("scenarios"), scenarios, ({ name }) => name, (scenario) => scenarioRow(scenario, switchScenario));
  drawClock();
}

function taken({ payments, refunds }) {
  const sum = (entries, of) => entries.reduce((total, entry) => total + of(entry), 0);
  const paid = `¥${yuan(sum(payments, (payment) => payment.total))}`;
  const back = sum(refunds.filter(({ status }) => status === "SUCCESS"), (refund) => refund.refund);
  return back ? `${paid} · ${t("givenBack", { sum: `¥${yuan(back)}` })}` : paid;
}

const switchScenario = ({ name, is_running }) => act(() => (is_running ? drop(`scenarios/${name}`) : ask("scenarios", { name })));
const settleRefund = ({ mchid, out_refund_no }, how) => act(() => ask(`refunds/${encodeURIComponent(out_refund_no)}/${how}?mchid=${mchid}`, {}));

/** The simulator's time goes on between two looks. */
function drawClock() {
  const { clock, readAt } = seen;
  if (!clock) return;
  const pace = clock.scale ?? 1;
  const now = clock.now_ms + (performance.now() - readAt) * pace;
  // As everywhere at WeChat Pay: Beijing's time.
  byId("clock").textContent = moment(new Date(now + 8 * 3_600_000).toISOString());
  byId("pace").textContent = clock.frozen ? t("frozen") : pace === 1 ? "" : `×${pace}`;
  byId("freeze").hidden = clock.frozen === undefined;
  byId("freeze").textContent = clock.frozen ? t("goOn") : t("freeze");
}
