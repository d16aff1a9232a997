// The demo's shop, as it would be on a server: it holds the app's secret and the merchant's key, and
// signs. In a browser none of this belongs; here the keys are the simulator's, and open to everyone.

import { ask } from "/assets/api.js";

const merchant = await ask("merchant");
const app = merchant.apps.find((one) => one.kind === "mini_program");
const key = await crypto.subtle.importKey(
  "pkcs8",
  bytesOf(merchant.private_key.replace(/-----[^-]+-----|\s/g, "")),
  { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  false,
  ["sign"],
);

/** Who logged in. The session_key stays with the shop. @param {string} code */
export async function openSession(code) {
  const question = new URLSearchParams({ appid: app.appid, secret: app.secret, js_code: code, grant_type: "authorization_code" });
  const { openid, errcode, errmsg } = await (await fetch(`/sns/jscode2session?${question}`)).json();
  if (!openid) throw new Error(`${errcode} ${errmsg}`);
  return { openid };
}

/** A new order, and what calls up its cashier. */
export async function makeOrder({ openid }) {
  const out_trade_no = `DEMO-${random(8)}`;
  const { prepay_id } = await call("POST", "/v3/pay/transactions/jsapi", {
    appid: app.appid,
    mchid: merchant.mchid,
    description: "示例商品 · 春茶一盒",
    out_trade_no,
    notify_url: `${location.origin}/demo/notify`,
    amount: { total: 1, currency: "CNY" },
    payer: { openid },
  });
  const [timeStamp, nonceStr, prepay] = [seconds(), random(16), `prepay_id=${prepay_id}`];
  const paySign = await sign([app.appid, timeStamp, nonceStr, prepay]);
  return { out_trade_no, callUp: { timeStamp, nonceStr, package: prepay, signType: "RSA", paySign } };
}

/** @param {string} out_trade_no */
export function findOrder(out_trade_no) {
  return call("GET", `/v3/pay/transactions/out-trade-no/${out_trade_no}?mchid=${merchant.mchid}`);
}

async function call(method, target, body) {
  const text = body ? JSON.stringify(body) : "";
  const [timestamp, nonce] = [seconds(), random(16)];
  const signature = await sign([method, target, timestamp, nonce, text]);
  const said = { mchid: merchant.mchid, serial_no: merchant.certificate_serial, nonce_str: nonce, timestamp, signature };
  const response = await fetch(target, {
    method,
    body: text || undefined,
    headers: {
      authorization: `WECHATPAY2-SHA256-RSA2048 ${Object.entries(said).map(([name, value]) => `${name}="${value}"`).join(",")}`,
      accept: "application/json",
      "content-type": "application/json",
      "wechatpay-serial": merchant.public_key_id,
    },
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${answer.code} ${answer.message}`);
  return answer;
}

async function sign(lines) {
  const message = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
  return btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.sign("RSASSA-PKCS1-v1_5", key, message))));
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function random(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function seconds() {
  return String(Math.floor(Date.now() / 1000));
}
