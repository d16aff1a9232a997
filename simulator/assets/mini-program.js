// `wx`, for a page that the simulator's /mini-program shows as a mini-program:
// <script src="http://127.0.0.1:8701/assets/mini-program.js"></script>
//
// It has wx.login and wx.requestPayment, with callbacks or as promises, and the errMsg of the real ones.
(() => {
  "use strict";
  const SOURCE = "wechat-pay-simulator";
  const waiting = new Map();
  let calls = 0;

  window.addEventListener("message", ({ source, data }) => {
    if (source !== window.parent || data?.source !== SOURCE || !data.wx) return;
    waiting.get(data.wx.id)?.(data.wx.result);
    waiting.delete(data.wx.id);
  });

  /** Asks the frame around this page. */
  function ask(name, parameters) {
    if (window.parent === window) return Promise.resolve({ errMsg: `${name}:fail not in a mini-program` });
    return new Promise((settle) => {
      calls += 1;
      waiting.set(calls, settle);
      window.parent.postMessage({ source: SOURCE, wx: { id: calls, name, parameters } }, "*");
    });
  }

  /** A call of `wx`: with callbacks it returns nothing, without any a promise. */
  function api(name) {
    return (options = {}) => {
      const { success, fail, complete, ...parameters } = options;
      const asked = ask(name, JSON.parse(JSON.stringify(parameters)));
      const isOk = (result) => result.errMsg === `${name}:ok`;
      if (success || fail || complete) {
        asked.then((result) => {
          (isOk(result) ? success : fail)?.(result);
          complete?.(result);
        });
        return undefined;
      }
      return asked.then((result) => (isOk(result) ? result : Promise.reject(result)));
    };
  }

  window.wx = { login: api("login"), requestPayment: api("requestPayment") };
})();
