// A row for each thing that the merchant's view lists.

import { button, element, link } from "/assets/dom.js";
import { language, moment, t, yuan } from "/assets/words.js";

const state = (name) => element("span", `state ${name}`, t(name));
const time = (text) => element("time", "", moment(text).slice(5));
const code = (text) => element("code", "", text);

export function merchantRow({ mchid, name, mode }) {
  const keys = link(`/_sim/merchant?mchid=${mchid}`, t("keys"));
  return element("li", "", ...(name ? [`${name} `] : []), code(mchid), ...(mode ? [` ${t(`mode_${mode}`)}`] : []), " · ", keys);
}

/** An order; its details come when it is opened. */
export function paymentRow({ payment, details, several }, onToggle) {
  const summary = element(
    "summary",
    "",
    element("span", "what", payment.description),
    element("span", "sum", `¥${yuan(payment.total)}`),
    element("span", "more", state(payment.trade_state), code(payment.out_trade_no), payment.endpoint.toUpperCase(), ...(several ? [code(payment.mchid)] : []), time(payment.created_at)),
  );
  const opened = element("details", "", summary);
  opened.addEventListener("toggle", () => onToggle(payment, opened.open));
  if (details) opened.append(paymentDetails(details));
  const row = element("li", "entry", opened);
  if (payment.trade_state === "NOTPAY") {
    const pay = link(`/phone?code_url=${encodeURIComponent(payment.code_url ?? payment.prepay_id)}`, t("payLink"));
    row.append(element("div", "go", pay));
  }
  return row;
}

function paymentDetails(payment) {
  const facts = [
    [t("app"), payment.appid],
    ["notify_url", payment.notify_url],
    [payment.code_url ? "code_url" : "prepay_id", payment.code_url ?? payment.prepay_id],
    [t("payableUntil"), moment(payment.payable_until)],
    [t("transaction"), payment.transaction_id],
    [t("payerIs"), payment.payer_openid],
  ];
  const list = element("dl", "pairs");
  for (const [name, value] of facts) {
    if (value) list.append(element("dt", "", name), element("dd", "", code(value)));
  }
  const all = element("div", "inside", list);
  if (payment.payer_attempts.length) {
    const tries = payment.payer_attempts.map(({ at, outcome }) => element("li", "", time(at), " ", t(`payer_${outcome}`)));
    all.append(element("h3", "", t("tries")), element("ul", "plain", ...tries));
  }
  for (const told of payment.notifications) all.append(element("h3", "", t("notification"), " ", state(told.state)), deliveries(told));
  all.append(element("p", "", link(`/_sim/payments/${encodeURIComponent(payment.out_trade_no)}?mchid=${payment.mchid}`, "JSON")));
  return all;
}

/** A notification with every try to deliver it, and what was answered. */
export function notificationRow(told) {
  const last = told.deliveries.at(-1);
  const tries = last ? t("triedTimes", { n: told.deliveries.length, answer: last.status ?? t("noStatus") }) : "";
  const summary = element(
    "summary",
    "",
    element("span", "what", code(told.event_type)),
    element("span", "more", state(told.state), code(told.out_refund_no ?? told.out_trade_no), tries, time(told.created_at)),
  );
  return element("li", "entry", element("details", "", summary, element("div", "inside", element("p", "", "POST ", code(told.notify_url)), deliveries(told))));
}

function deliveries(told) {
  const rows = told.deliveries.map(({ attempt, at, fault, status, error, answer, took_ms }) => {
    const taken = status === 200 || status === 204;
    const said = element("span", taken ? "good" : "bad", String(status ?? error));
    const row = element("li", "", element("b", "", `#${attempt}`), time(at), said, `${took_ms} ms`);
    if (fault) row.append(element("span", "state NOTPAY", fault));
    if (answer) row.append(element("pre", "", answer));
    return row;
  });
  if (told.next_at) rows.push(element("li", "", t("nextTry"), " ", time(told.next_at)));
  return element("ol", "deliveries", ...rows);
}

export function refundRow(refund, settle) {
  const row = element(
    "li",
    "entry",
    element("div", "summary", element("span", "what", refund.reason || t("refund")), element("span", "sum", `−¥${yuan(refund.refund)}`), element("span", "more", element("span", `state ${refund.status}`, t(`refund_${refund.status}`)), code(refund.out_refund_no), time(refund.created_at))),
  );
  if (refund.status === "PROCESSING") {
    const choices = ["succeed", "abnormal", "close"].map((how) => button(t(`refund_${how}`), "outlined", () => settle(refund, how)));
    row.append(element("div", "choices", ...choices));
  }
  return row;
}

export function faultRow(fault, stop) {
  const { kind, on, times, delay_ms, scenario } = fault;
  const more = [on && on !== "any" && t("faultOn", { on }), times && `× ${times}`, delay_ms && `${delay_ms} ms`, scenario].filter(Boolean);
  const stopping = button("✕", "quiet", stop);
  stopping.setAttribute("aria-label", t("stopFault", { kind }));
  return element("li", "fault", code(kind), element("span", "note", more.join(" · ")), stopping);
}

export function scenarioRow(scenario, toggle) {
  const { name, description, is_running, seed } = scenario;
  const control = button("", "switch", () => toggle(scenario));
  control.setAttribute("role", "switch");
  control.setAttribute("aria-checked", String(is_running));
  control.setAttribute("aria-label", name);
  const text = element("span", "", element("b", "", name), element("span", "note", (language() === "en" ? description.en : description.zh) + (is_running ? ` · seed ${seed}` : "")));
  return element("li", "", text, control);
}
