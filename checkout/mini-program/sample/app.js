const { configure } = require("everpaid-mini-program");

const { simulatorUrl } = require("./config");
const { simulated } = require("./simulator");

// A login code of WeChat's is nothing to the simulator, and a prepay_id of the simulator's nothing to WeChat.
if (simulatorUrl) configure({ wx: simulated(wx, simulatorUrl) });

App({});
