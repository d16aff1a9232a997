// The page on which a payer lets an app know more than the openid.

import { handTo, holder, listPayers, nameOf } from "/assets/payers.js";
import { speak, t } from "/assets/words.js";

const byId = (id) => document.getElementById(id);
const appid = new URLSearchParams(location.search).get("appid");
const payers = await listPayers();
let payer = holder(payers);

// The answer goes to the very address that asked, with all it carries.
byId("allow").action = location.pathname + location.search;
byId("allow").addEventListener("submit", () => handTo(payer));
byId("deny").addEventListener("click", () => {
  byId("denied").hidden = false;
  if (history.length > 1) history.back();
});
speak(() => {
  byId("app").textContent = t("authorizeApp", { appid });
  byId("who").textContent = t("authorizeWho", { name: nameOf(payer) });
  byId("face").textContent = nameOf(payer).slice(-1);
});
