// A small shop of somebody else's: one page that logs its payer in and pays as WeChat documents it.
//
// It knows WeChat's real hosts only; that it is in a simulator is not its business.

import { createServer } from "node:http";

const PAGE = (nonce) => `<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>山茶小铺</title>
<style nonce="${nonce}">body{font:17px system-ui;margin:0;padding:28px;background:#f6f4ef}main{max-width:520px;margin:auto;background:#fff;border-radius:18px;padding:26px}
button{font:inherit;width:100%;padding:14px;border:0;border-radius:12px;background:#2f5d46;color:#fff}b{float:right}</style>
<script nonce="${nonce}">
  // As early as a page can look.
  window.atFirst = { agent: navigator.userAgent, bridge: typeof WeixinJSBridge };
  document.addEventListener("WeixinJSBridgeReady", () => (window.readyHeard = true));
</script></head>
<body><main><h1>山茶小铺</h1><p>山茶花开 · 春茶一盒 <b>¥68.00</b></p><p>你好，<span id="who"></span></p>
<button id="buy">微信支付</button><p id="answer" role="status"></p></main>
<script nonce="${nonce}">
  const show = (text) => (document.getElementById("answer").textContent = text);
  const whenBridged = () => new Promise((then) => typeof WeixinJSBridge === "undefined" ? document.addEventListener("WeixinJSBridgeReady", then, { once: true }) : then());
  fetch("/me").then((answer) => answer.json()).then(({ openid }) => (document.getElementById("who").textContent = openid));
  document.getElementById("buy").addEventListener("click", async () => {
    const fields = await (await fetch("/buy" + location.search, { method: "POST" })).json();
    await whenBridged();
    WeixinJSBridge.invoke("getBrandWCPayRequest", fields, (res) => show(res.err_msg));
  });
</script></body></html>`;

/**
 * @param {import("./simulator.js").Simulator} simulator where WeChat is; it may come later
 * @returns a shop with `url`, `numbers` of its orders, and `spoil`, which may change the six fields
 */
export async function openShop() {
  const shop = { simulator: null, numbers: [], spoil: (fields) => fields };
  const sessions = new Map();
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, shop.url);
    const session = request.headers.cookie?.match(/sid=(\w+)/)?.[1];
    const answer = (status, headers, body = "") => response.writeHead(status, headers).end(body);
    const { appid, secret } = shop.simulator.merchant.apps[0];
    if (url.pathname === "/back") {
      const token = await (await fetch(`${shop.simulator.url}/sns/oauth2/access_token?appid=${appid}&secret=${secret}&code=${url.searchParams.get("code")}&grant_type=authorization_code`)).json();
      if (!token.openid) return answer(400, {}, token.errmsg);
      const sid = `s${sessions.size + 1}`;
      sessions.set(sid, token.openid);
      return answer(302, { location: "/", "set-cookie": `sid=${sid}; HttpOnly; Path=/` });
    }
    if (!sessions.has(session)) {
      const back = encodeURIComponent(`${shop.url}/back`);
      return answer(302, { location: `https://open.weixin.qq.com/connect/oauth2/authorize?appid=${appid}&redirect_uri=${back}&response_type=code&scope=snsapi_base&state=S1#wechat_redirect` });
    }
    if (url.pathname === "/me") return answer(200, { "content-type": "application/json" }, JSON.stringify({ openid: sessions.get(session), agent: request.headers["user-agent"] }));
    if (url.pathname === "/buy") {
      const number = `SHOP-${String(shop.numbers.push("") + 1000)}`;
      shop.numbers[shop.numbers.length - 1] = number;
      const fields = await shop.simulator.jsapiCallUp(number, sessions.get(session));
      return answer(200, { "content-type": "application/json" }, JSON.stringify(shop.spoil(fields)));
    }
    const policy = "default-src 'none'; connect-src 'self'; style-src 'nonce-n0nce'; script-src 'nonce-n0nce' 'strict-dynamic'; frame-src weixin:";
    answer(200, { "content-type": "text/html; charset=utf-8", "content-security-policy": policy }, PAGE("n0nce"));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  shop.url = `http://127.0.0.1:${server.address().port}`;
  shop.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return shop;
}
