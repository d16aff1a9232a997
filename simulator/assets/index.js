// The list of payments, looked at again and again while someone is looking.

import { ask } from "/assets/api.js";
import { speak, t, yuan } from "/assets/words.js";

const POLL_MS = 1500;
const byId = (id) => document.getElementById(id);
let seen = { payments: [], faults: [] };

byId("base").textContent = location.origin;
speak(draw);
ask("merchant").then((merchant) => (byId("mchid").textContent = merchant.mchid), () => {});
look();

async function look() {
  if (!document.hidden) {
    try {
      const [listed, active, clock] = await Promise.all([ask("payments"), ask("faults"), ask("clock")]);
      byId("clock").textContent = clock.now.slice(0, 19).replace("T", " ");
      byId("lost").hidden = true;
      const now = { payments: listed.payments, faults: active.faults };
      if (JSON.stringify(now) !== JSON.stringify(seen)) {
        seen = now;
        draw();
      }
    } catch {
      byId("lost").hidden = false;
    }
  }
  setTimeout(look, POLL_MS);
}

function draw() {
  byId("faults").textContent = seen.faults.map((fault) => fault.kind).join(", ") || t("noFaults");
  byId("empty").hidden = seen.payments.length > 0;
  byId("orders").replaceChildren(...seen.payments.map(row));
}

function row(payment) {
  const item = element("li", "order");
  const more = element("div", "more");
  more.append(
    element("span", `state ${payment.trade_state}`, t(payment.trade_state)),
    element("code", "", payment.out_trade_no),
    element("span", "", payment.endpoint.toUpperCase()),
    element("time", "", payment.created_at.slice(5, 19).replace("T", " ")),
  );
  const go = element("div", "go");
  const details = link(`/_sim/payments/${encodeURIComponent(payment.out_trade_no)}`, t("details"));
  if (payment.trade_state === "NOTPAY") {
    const code = payment.code_url ?? payment.prepay_id;
    go.append(link(`/phone?code_url=${encodeURIComponent(code)}`, t("payLink")), " · ");
  }
  go.append(details);
  item.append(
    element("div", "what", payment.description),
    element("div", "sum", `¥${yuan(payment.total)}`),
    more,
    go,
  );
  return item;
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function link(href, text) {
  const made = element("a", "", text);
  made.href = href;
  return made;
}
