/** What a mini-program may use; `index.d.ts` says what everything means. */

const { check, pay } = require("./pay");
const { configure } = require("./settings");

module.exports = { check, configure, pay };
