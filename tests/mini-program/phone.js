// A payer's phone: what `wx` is to a mini-program, with requests that really go out.

/**
 * @param {{language?: string, fontSizeScaleFactor?: number}} settings
 */
export function openPhone({ language = "zh_CN", fontSizeScaleFactor = 1 } = {}) {
  const listeners = new Set();
  const answer = (options, errMsg, more) => {
    const isOk = errMsg.endsWith(":ok");
    (isOk ? options.success : options.fail)?.({ errMsg, ...more });
    options.complete?.({ errMsg, ...more });
  };
  const phone = {
    /** The names of what was called, in order; requests are not among them. */
    calls: [],
    /** What `wx.requestPayment` was given last. */
    parameters: null,
    codes: 0,
    /** How many requests went out. */
    requests: 0,
    /** What the payer does in the cashier: an errMsg, or null for a client that never answers. */
    cashier: async () => "requestPayment:ok",
    /** What the payer taps on a sheet: a line, or -1 to close it. */
    taps: async () => 0,

    login(options) {
      phone.calls.push("login");
      phone.codes += 1;
      answer(options, "login:ok", { code: `code-${phone.codes}` });
    },
    requestPayment(options) {
      phone.calls.push("requestPayment");
      const { success, fail, complete, ...parameters } = options;
      phone.parameters = parameters;
      phone.cashier().then((errMsg) => errMsg && answer(options, errMsg));
    },
    async showActionSheet(options) {
      phone.calls.push("showActionSheet");
      const tapIndex = await phone.taps(options);
      if (tapIndex < 0) answer(options, "showActionSheet:fail cancel");
      else answer(options, "showActionSheet:ok", { tapIndex });
    },
    /** What is sent is JSON unless the header says otherwise, as with WeChat. */
    async request(options) {
      phone.requests += 1;
      const { url, method, header, data } = options;
      const headers = new Headers(header);
      if (!headers.has("content-type")) headers.set("content-type", "application/json");
      try {
        const response = await fetch(url, { method, headers, body: method === "GET" ? undefined : JSON.stringify(data) });
        const text = await response.text();
        // With dataType json, as by default, WeChat parses what it can and hands over the rest as text.
        const parsed = () => {
          try {
            return JSON.parse(text);
          } catch {
            return text;
          }
        };
        answer(options, "request:ok", { statusCode: response.status, header: Object.fromEntries(response.headers), data: parsed() });
      } catch (error) {
        answer(options, `request:fail ${error.message}`);
      }
    },
    getAppBaseInfo: () => ({ language, fontSizeScaleFactor }),
    onAppShow: (listener) => listeners.add(listener),
    offAppShow: (listener) => listeners.delete(listener),

    /** The payer leaves the mini-program and comes back. */
    comeBack() {
      for (const listener of listeners) listener({});
    },
    get listeners() {
      return listeners.size;
    },
  };
  return phone;
}

/** Time that passes only while somebody waits, and then at once. */
export function openClock() {
  const clock = {
    ms: 0,
    waits: [],
    now: () => clock.ms,
    async pause(ms) {
      clock.waits.push(ms);
      clock.ms += ms;
    },
  };
  return clock;
}

/** Time that stands still until the test lets it pass. */
export function openStoppedClock() {
  let waiting = [];
  let told = () => {};
  const clock = {
    ms: 0,
    now: () => clock.ms,
    pause: (ms) =>
      new Promise((resolve) => {
        waiting.push({ ms, resolve });
        told();
      }),
    /** Waits until somebody waits, then lets that time pass; resolves to how long it was. */
    async pass() {
      if (waiting.length === 0) await new Promise((resolve) => (told = resolve));
      const [longest, all] = [Math.max(...waiting.map(({ ms }) => ms)), waiting];
      waiting = [];
      clock.ms += longest;
      for (const { resolve } of all) resolve();
      return longest;
    },
    get waits() {
      return waiting.length;
    },
  };
  return clock;
}
