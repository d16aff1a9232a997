// Stands between everpaid and WeChat, passes every call on unchanged, and notes how long the answer took.
//
// It runs in a thread of its own, so that what drives the browser cannot make WeChat look slow.

import { once } from "node:events";
import { Agent, createServer, request as ask } from "node:http";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

/**
 * A call that somebody waits for: `took_ms`, or `lost` when its answer never came.
 * @typedef {{call: "authorize"|"login"|"create", took_ms: number, lost: boolean}} Note
 */

/** What a payer who has tapped waits for. Questions about earlier payments pass unnoted. */
const CALLS = new Map([
  ["/connect/oauth2/authorize", "authorize"],
  ["/sns/oauth2/access_token", "login"],
  ["/v3/pay/transactions/jsapi", "create"],
]);

/** @param {string} wechat_url where the simulator is */
export async function startStopwatch(wechat_url) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { wechat_url } });
  const said = async () => (await once(worker, "message"))[0];
  const port = await said();
  return {
    url: `http://127.0.0.1:${port}`,

    /** From now on logins are held up so long, and it counts as WeChat's time. */
    holdLogins: (ms) => worker.postMessage({ hold_ms: ms }),

    /** The next answer to a login never comes; what it was worth is spent all the same. */
    loseNextLogin: () => worker.postMessage({ lose: true }),

    /** What was noted since this was asked before. @returns {Promise<Note[]>} */
    notes() {
      const notes = said();
      worker.postMessage({ tell: true });
      return notes;
    },

    stop: () => worker.terminate(),
  };
}

function stand({ wechat_url }) {
  const { hostname, port } = new URL(wechat_url);
  const agent = new Agent({ keepAlive: true });
  let hold_ms = 0;
  let losesLogin = false;
  /** @type {Note[]} */
  let notes = [];

  const server = createServer((asked, answer) => {
    const call = CALLS.get(asked.url.split("?")[0]);
    const began = performance.now();
    const note = (lost) => call && notes.push({ call, took_ms: performance.now() - began, lost });
    const body = [];
    asked.on("data", (chunk) => body.push(chunk));
    asked.on("end", () => setTimeout(passOn, call === "authorize" || call === "login" ? hold_ms : 0));

    function passOn() {
      const passed = ask({ hostname, port, agent, method: asked.method, path: asked.url, headers: asked.headers }, (answered) => {
        const parts = [];
        answered.on("data", (part) => parts.push(part));
        answered.on("end", () => {
          if (call === "login" && losesLogin) {
            losesLogin = false;
            return;
          }
          note(false);
          const headers = answered.rawHeaders.filter((_, at, all) => all[at - (at % 2)].toLowerCase() !== "transfer-encoding");
          answer.writeHead(answered.statusCode, headers).end(Buffer.concat(parts));
        });
      });
      // A connection that WeChat cuts is cut; one that everpaid gives up is given up.
      passed.on("error", () => answer.destroy());
      answer.on("close", () => {
        if (answer.writableEnded) return;
        note(true);
        passed.destroy();
      });
      passed.end(Buffer.concat(body));
    }
  });
  server.keepAliveTimeout = 60000; // longer than everpaid keeps a quiet connection
  server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port));

  parentPort.on("message", (said) => {
    if ("hold_ms" in said) hold_ms = said.hold_ms;
    if (said.lose) losesLogin = true;
    if (!said.tell) return;
    parentPort.postMessage(notes);
    notes = [];
  });
}

if (!isMainThread) stand(workerData);
