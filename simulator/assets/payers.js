// Who holds the phone in this browser: a cookie, so that the OAuth page knows it too.

import { ask } from "/assets/api.js";
import { language } from "/assets/words.js";

const COOKIE = "simulated_payer";

/** @typedef {{ id: string, name: string, english_name: string }} Payer */

/** Everyone there is, the first one being meant when nobody says who. @returns {Promise<Payer[]>} */
export async function listPayers() {
  return (await ask("payers")).payers;
}

/** @param {Payer[]} payers @returns {Payer} */
export function holder(payers) {
  const said = document.cookie.split("; ").find((cookie) => cookie.startsWith(`${COOKIE}=`));
  return payers.find((payer) => said === `${COOKIE}=${payer.id}`) ?? payers[0];
}

/** @param {Payer} payer */
export function handTo(payer) {
  document.cookie = `${COOKIE}=${payer.id}; path=/; max-age=31536000; samesite=lax`;
}

/** @param {Payer} payer */
export function nameOf(payer) {
  return language() === "en" ? payer.english_name : payer.name;
}
