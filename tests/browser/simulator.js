// Starts `everpaid simulator` in memory and on free ports, and plays a merchant's server against it.

import { spawn } from "node:child_process";
import { createSign, randomBytes } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const executable = process.env.EVERPAID_BIN ?? fileURLToPath(new URL("../../target/debug/everpaid", import.meta.url));

export class Simulator {
  /** Where orders have their notifications sent; nobody listens there. */
  notifyUrl = "http://127.0.0.1:9/notify";

  /** @param {string[]} options of `everpaid simulator` */
  static async start(...options) {
    const simulator = new Simulator();
    simulator.process = spawn(executable, ["simulator", "--in-memory", "--listen", "127.0.0.1:0", ...options], { stdio: ["ignore", "pipe", "inherit"] });
    // The phone is the last thing it prints.
    let printed = "";
    for await (const chunk of simulator.process.stdout) {
      printed += chunk;
      if (/payer's phone .*\n/.test(printed)) break;
    }
    simulator.url = printed.match(/simulated: +(http\S+)/)[1];
    simulator.browserUrl = printed.match(/WeChat browser +(http\S+)/)?.[1];
    simulator.merchant = await simulator.control("merchant");
    return simulator;
  }

  async stop() {
    const ended = once(this.process, "exit");
    this.process.kill("SIGTERM");
    await ended;
  }

  async control(target, body) {
    const response = await fetch(`${this.url}/_sim/${target}`, body && { method: "POST", body: JSON.stringify(body) });
    return response.json();
  }

  /** A call of WeChat Pay, signed as a merchant does. */
  async call(method, target, body) {
    const text = body ? JSON.stringify(body) : "";
    const { mchid, certificate_serial } = this.merchant;
    const [timestamp, nonce] = [seconds(), randomBytes(16).toString("hex")];
    const signature = this.sign([method, target, timestamp, nonce, text]);
    const response = await fetch(this.url + target, {
      method,
      body: text || undefined,
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        authorization: `WECHATPAY2-SHA256-RSA2048 mchid="${mchid}",nonce_str="${nonce}",signature="${signature}",timestamp="${timestamp}",serial_no="${certificate_serial}"`,
      },
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${response.status} ${JSON.stringify(answer)}`);
    return answer;
  }

  /** Signs lines, each with its line feed. */
  sign(lines) {
    return createSign("RSA-SHA256").update(lines.map((line) => `${line}\n`).join("")).sign(this.merchant.private_key, "base64");
  }

  order(number, description, total, appid = this.merchant.apps[0].appid) {
    const { mchid } = this.merchant;
    return { appid, mchid, description, out_trade_no: number, notify_url: this.notifyUrl, amount: { total } };
  }

  /** The code_url of a new Native order. */
  async nativeOrder(number, description = "一杯茶", total = 1280) {
    return (await this.call("POST", "/v3/pay/transactions/native", this.order(number, description, total))).code_url;
  }

  /** The six fields for a new JSAPI order of this payer. */
  async jsapiCallUp(number, openid, appid = this.merchant.apps[0].appid) {
    const order = { ...this.order(number, "山茶花开 · 春茶一盒", 6800, appid), payer: { openid } };
    const { prepay_id } = await this.call("POST", "/v3/pay/transactions/jsapi", order);
    const fields = { appId: appid, timeStamp: seconds(), nonceStr: randomBytes(8).toString("hex"), package: `prepay_id=${prepay_id}`, signType: "RSA" };
    return { ...fields, paySign: this.sign([appid, fields.timeStamp, fields.nonceStr, fields.package]) };
  }

  async payment(number) {
    return this.control(`payments/${number}`);
  }

  /** What the payer tried with an order, in order. */
  async tries(number) {
    return (await this.payment(number)).payer_attempts.map((attempt) => attempt.outcome);
  }
}

function seconds() {
  return String(Math.floor(Date.now() / 1000));
}
