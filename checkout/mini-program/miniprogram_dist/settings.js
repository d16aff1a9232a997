/** What a call need not say, because it was said before or is the phone's. */

/** @typedef {import("./index").Options} Options */

/** @type {Partial<Options>} */
const defaults = {};

/** @type {typeof import("./index").configure} */
function configure(options) {
  Object.assign(defaults, options);
}

/** @param {Options} options */
function complete(options) {
  const given = Object.assign({ clock: PHONE }, defaults, options);
  return Object.assign(given, { wx: given.wx || wx });
}

/** @type {import("./index").Clock} */
const PHONE = {
  now: () => Date.now(),
  pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

module.exports = { complete, configure };
