// A whole shop's day with npm's `wechatpay-axios-plugin`, as it is published, against the simulator.
//
//     everpaid simulator
//     node pay.js
//
// `WITH_CERTIFICATES=1` trusts the platform certificates instead of the public key.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { once } from "node:events";
import { gunzipSync } from "node:zlib";

import { Aes, Formatter, Rsa, Wechatpay } from "wechatpay-axios-plugin";

const simulator = process.env.SIMULATOR ?? "http://127.0.0.1:8701";

/** One of the simulator's own controls, under /_sim/. */
async function control(method, path, body) {
  const answer = await fetch(`${simulator}/_sim${path}`, { method, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
}

// 1. The client, with the merchant's credentials.
const merchant = await control("GET", "/merchant");
const certs = process.env.WITH_CERTIFICATES
  ? { [merchant.platform_certificate_serial]: merchant.platform_certificate }
  : { [merchant.public_key_id]: merchant.public_key };
const wxpay = new Wechatpay({
  mchid: merchant.mchid,
  serial: merchant.certificate_serial,
  privateKey: merchant.private_key,
  certs,
  baseURL: `${simulator}/`,
});

// 2. Where notifications go: verified and opened by the client's own functions, answered only then.
const heard = [];
const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString("utf8");
  const header = (name) => request.headers[`wechatpay-${name}`];
  const age = Math.abs(Formatter.timestamp() - header("timestamp"));
  const message = Formatter.response(header("timestamp"), header("nonce"), body);
  const key = certs[header("serial")];
  if (!key || age > 300 || !Rsa.verify(message, header("signature"), Rsa.from(key, Rsa.KEY_TYPE_PUBLIC))) {
    response.writeHead(401).end();
    return;
  }
  const { event_type, resource } = JSON.parse(body);
  const { ciphertext, nonce, associated_data } = resource;
  heard.push({ event_type, said: JSON.parse(Aes.AesGcm.decrypt(ciphertext, merchant.apiv3_key, nonce, associated_data)) });
  response.writeHead(204).end();
  server.emit("heard");
}).listen(0, "127.0.0.1");
await once(server, "listening");
const notify_url = `http://127.0.0.1:${server.address().port}/notify`;

async function hear(event_type) {
  if (heard.length === 0) await once(server, "heard", { signal: AbortSignal.timeout(20_000) });
  const told = heard.shift();
  assert.equal(told.event_type, event_type);
  return told.said;
}

// 3. Create, and look.
const mchid = merchant.mchid;
const out_trade_no = `JS-${randomBytes(8).toString("hex")}`;
const order = {
  appid: merchant.apps[0].appid,
  mchid,
  description: "一壶龙井",
  out_trade_no,
  notify_url,
  amount: { total: 3990, currency: "CNY" },
};
const { transactions } = wxpay.v3.pay;
const query = async (number) =>
  (await transactions.outTradeNo.$out_trade_no$.get({ params: { mchid }, out_trade_no: number })).data;
const created = await transactions.native.post(order);
assert.match(created.data.code_url, /^weixin:\/\//);
assert.equal((await query(out_trade_no)).trade_state, "NOTPAY");

// 4. The payer pays; the notification says so, and so does a query by WeChat's number.
await control("POST", `/payments/${out_trade_no}/pay`);
const paid = await hear("TRANSACTION.SUCCESS");
assert.deepEqual([paid.out_trade_no, paid.amount.total], [out_trade_no, 3990]);
const { transaction_id } = paid;
const found = await transactions.id.$transaction_id$.get({ params: { mchid }, transaction_id });
assert.deepEqual([found.data.trade_state, found.data.payer], ["SUCCESS", paid.payer]);

// 5. Nobody wants the second pot: close it.
const other = `${out_trade_no}-2`;
const prepared = await transactions.jsapi.post({ ...order, out_trade_no: other, payer: { openid: "oNode" } });
assert.match(prepared.data.prepay_id, /^wx/);
const closed = await transactions.outTradeNo.$out_trade_no$.close.post({ mchid }, { out_trade_no: other });
assert.equal(closed.status, 204);
assert.equal((await query(other)).trade_state, "CLOSED");

// 6. Ten yuan go back.
const out_refund_no = `${out_trade_no}-R`;
const { refunds } = wxpay.v3.refund.domestic;
const amount = { refund: 1000, total: 3990, currency: "CNY" };
const refund = await refunds.post({ out_trade_no, out_refund_no, amount, notify_url });
assert.equal(refund.data.status, "PROCESSING");
await control("POST", "/clock", { advance_seconds: 60 });
const finished = await hear("REFUND.SUCCESS");
assert.deepEqual([finished.refund_status, finished.amount.refund], ["SUCCESS", 1000]);
assert.equal((await refunds.$out_refund_no$.get({ out_refund_no })).data.status, "SUCCESS");
assert.equal((await query(out_trade_no)).trade_state, "REFUND");

// 7. The next day the books are compared with WeChat's bill, plain and compressed.
const bill_date = new Date(Date.parse(paid.success_time) + 8 * 3600_000).toISOString().slice(0, 10);
await control("POST", "/clock", { advance_seconds: 36 * 3600 });
for (const compression of [{ tar_type: "GZIP" }, {}]) {
  const { data: bill } = await wxpay.v3.bill.tradebill.get({ params: { bill_date, bill_type: "ALL", ...compression } });
  const { pathname, searchParams } = new URL(bill.download_url);
  assert.equal(pathname, "/v3/billdownload/file");
  const params = Object.fromEntries(searchParams);
  const { data: file } = await wxpay.v3.billdownload.file.get({ params, responseType: "arraybuffer" });
  const plain = compression.tar_type ? gunzipSync(file) : Buffer.from(file);
  assert.equal(createHash("sha1").update(plain).digest("hex"), bill.hash_value.toLowerCase());
  const [header, ...rows] = plain.toString("utf8").slice(1).split("\r\n").map((line) => line.split(",`"));
  const names = header[0].split(",");
  const ours = rows.filter((row) => row[names.indexOf("商户订单号")] === out_trade_no);
  const shown = ours.map((row) => ["交易状态", "订单金额", "申请退款金额"].map((name) => row[names.indexOf(name)]));
  assert.deepEqual(shown, [["SUCCESS", "39.90", "0.00"], ["REFUND", "0.00", "10.00"]]);
}

server.close();
server.closeAllConnections();
console.log("created, queried, paid, closed, refunded and billed");
