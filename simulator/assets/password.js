// The six-digit password pad: by mouse, by finger, or by keyboard.

import { t } from "/assets/words.js";

const LENGTH = 6;
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "", "0", "⌫"];

const byId = (id) => document.getElementById(id);

/**
 * Wires the pad up and returns a way to ask with it.
 *
 * `type` is called with six digits and says what is wrong with them, or null when they were taken.
 */
export function passwordPad() {
  const [dialog, digits, problem] = [byId("password"), byId("password-digits"), byId("password-problem")];
  const cells = [...dialog.querySelectorAll(".cells i")];
  let ask = null;

  byId("pad").replaceChildren(...KEYS.map(key));
  digits.addEventListener("input", () => write(digits.value));
  dialog.addEventListener("close", () => ask?.closed());
  byId("leave-password").addEventListener("click", () => dialog.close());
  dialog.querySelector("form").addEventListener("submit", (event) => event.preventDefault());

  function key(face) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = face;
    if (!face) button.className = "gap";
    button.disabled = !face;
    if (face === "⌫") button.dataset.tLabel = "erase";
    button.addEventListener("click", () => {
      write(face === "⌫" ? digits.value.slice(0, -1) : digits.value + face);
      digits.focus();
    });
    return button;
  }

  async function write(text) {
    const typed = text.replace(/\D/g, "").slice(0, LENGTH);
    if (ask.busy) return void (digits.value = ask.typed);
    digits.value = ask.typed = typed;
    cells.forEach((cell, i) => cell.classList.toggle("full", i < typed.length));
    if (typed.length > 0) tell(null);
    if (typed.length < LENGTH) return;
    ask.busy = true;
    const wrong = await ask.type(typed);
    ask.busy = false;
    if (!wrong) return dialog.close();
    write("");
    tell(wrong);
    digits.focus();
  }

  function tell(wrong) {
    problem.hidden = !wrong;
    problem.textContent = wrong ? t(wrong) : "";
  }

  /** Opens the pad; settles when it is closed, by success or by the payer. */
  return function open(type) {
    return new Promise((closed) => {
      ask = { type, closed, busy: false, typed: "" };
      tell(null);
      write("");
      dialog.showModal();
      digits.focus();
    });
  };
}
