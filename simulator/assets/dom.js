// Small ways to make elements.

/** @param {string} name @param {string} [className] @param {...(string | Node)} children */
export function element(name, className = "", ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** @param {string} href @param {string} text */
export function link(href, text) {
  const made = element("a", "", text);
  made.href = href;
  return made;
}

/** @param {string} text @param {() => void} act */
export function button(text, className, act) {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

const drawn = new WeakMap();

/**
 * Draws a list so that a row that says the same stays the very same: it keeps the focus, and what
 * was opened in it.
 */
export function keyed(list, items, keyOf, draw) {
  const before = new Map([...list.children].map((row) => [drawn.get(row)?.key, row]));
  const rows = items.map((item) => {
    const key = String(keyOf(item));
    const said = JSON.stringify([document.documentElement.lang, item]);
    const old = before.get(key);
    if (old && drawn.get(old).said === said) return old;
    const row = draw(item);
    drawn.set(row, { key, said });
    const opened = row.querySelector("details");
    if (opened && old?.querySelector("details")?.open) opened.open = true;
    if (old?.contains(document.activeElement)) queueMicrotask(() => row.querySelector("summary, button")?.focus());
    return row;
  });
  if (rows.length !== list.children.length || rows.some((row, i) => row !== list.children[i])) list.replaceChildren(...rows);
}
