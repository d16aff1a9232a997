// The snippets of docs/webhooks.md, run as they stand there, are told by a whole everpaid what
// happened to an order: Node's verifies with npm's `standardwebhooks`, Python's by hand.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Simulator } from "./simulator.js";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const executable = process.env.EVERPAID_BIN ?? join(repository, "target/debug/everpaid");
const english = readFileSync(join(repository, "docs/webhooks.md"), "utf8");
const SECRET = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
const NEW_SECRET = "whsec_AgICAgICAgICAgICAgICAgICAgICAgIC";
const KEY = "sk_test_webhooks";

const blocks = (text) => [...text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].map(([, language, code]) => ({ language, code }));
const snippet = (language) => blocks(english).find((block) => block.language === language).code;

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** A process whose output can be waited for. */
class Running {
  constructor(program, args, options) {
    this.process = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "inherit"] });
    this.printed = "";
    this.process.stdout.on("data", (chunk) => (this.printed += chunk));
  }

  async says(words) {
    while (!words.test(this.printed)) await once(this.process.stdout, "data", { signal: AbortSignal.timeout(30_000) });
  }

  async stop() {
    if (this.process.exitCode !== null) return;
    const ended = once(this.process, "exit");
    this.process.kill("SIGTERM");
    await ended;
  }
}

let directory, simulator, api, everpaid;
const shops = {};

before(async () => {
  directory = mkdtempSync(join(tmpdir(), "everpaid-webhooks-"));
  simulator = await Simulator.start();
  symlinkSync(join(repository, "tests/clients/node/node_modules"), join(directory, "node_modules"));
  for (const [language, file, program] of [["js", "shop.mjs", process.execPath], ["python", "shop.py", "python3"]]) {
    const port = await freePort();
    writeFileSync(join(directory, file), snippet(language).replace("8710", port));
    const shop = new Running(program, [file], { cwd: directory, env: { ...process.env, WEBHOOK_SECRET: SECRET } });
    await shop.says(/listening\n/);
    shops[language] = Object.assign(shop, { url: `http://127.0.0.1:${port}/` });
  }
  const merchant = await (await fetch(`${simulator.url}/_sim/merchant`)).json();
  const port = await freePort();
  api = `http://127.0.0.1:${port}`;
  const endpoint = (name, url, secrets) =>
    `[merchants.tea.webhooks.${name}]\nurl = "${url}"\n${secrets}\nallow_private_addresses = true\n`;
  writeFileSync(
    join(directory, "everpaid.toml"),
    `public_url = "${api}"
listen = "127.0.0.1:${port}"
metrics_listen = "127.0.0.1:0"
[database]
url = "sqlite://${directory}/everpaid.sqlite"
[wechat]
base_url = "${simulator.url}"
[links]
key = "a key for the links of these tests"
[merchants.tea]
display_name = "山茶小铺"
mchid = "${merchant.mchid}"
certificate_serial = "${merchant.certificate_serial}"
private_key = '''${merchant.private_key}'''
apiv3_key = "${merchant.apiv3_key}"
public_key_id = "${merchant.public_key_id}"
public_key = '''${merchant.public_key}'''
api_key_hashes = ["${createHash("sha256").update(KEY).digest("hex")}"]
apps = { ${merchant.apps.map(({ appid, kind }) => `${appid} = "${kind}"`).join(", ")} }
${endpoint("node", shops.js.url, `secret = "${SECRET}"`)}
${endpoint("python", shops.python.url, `secret = "${NEW_SECRET}"\nprevious_secret = "${SECRET}"`)}`,
  );
  await promisify(execFile)(executable, ["migrate", "up"], { cwd: directory });
  everpaid = new Running(executable, ["serve"], { cwd: directory });
  const end = Date.now() + 30_000;
  while (!(await fetch(`${api}/readyz`).then((answer) => answer.ok, () => false))) {
    assert.ok(Date.now() < end, "everpaid does not start");
    await new Promise((later) => setTimeout(later, 50));
  }
});

after(async () => {
  await everpaid?.stop();
  for (const shop of Object.values(shops)) await shop.stop();
  await simulator?.stop();
  rmSync(directory, { recursive: true });
});

async function ask(path, body) {
  const headers = { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" };
  const answer = await fetch(api + path, body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers });
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
}

test("both shops are told that an order is paid, and believe it", async () => {
  const { order } = await ask("/v1/orders", {
    merchant_order_no: "W-1",
    description: "一壶龙井",
    amount: { total: 3990, currency: "CNY" },
    metadata: { 茶: "龙井" },
  });
  const { payment } = await ask(`/v1/orders/${order.id}/payments`, { method: "native" });
  await fetch(`${simulator.url}/_sim/payments/${payment.out_trade_no}/pay`, { method: "POST" });
  for (const shop of Object.values(shops)) await shop.says(/^order\.paid W-1 3990$/m);
});

test("what is sent again is taken once", async () => {
  const { events } = await ask("/v1/events");
  const resend = ["webhooks", "resend", events[0].id];
  const { stdout } = await promisify(execFile)(executable, resend, { cwd: directory });
  assert.equal(stdout, "2 deliveries are made again\n");
  await ask("/v1/orders", { merchant_order_no: "W-2", description: "茶", amount: { total: 1, currency: "CNY" } }).then(({ order }) =>
    ask(`/v1/orders/${order.id}/close`, {}),
  );
  for (const shop of Object.values(shops)) {
    await shop.says(/^order\.closed W-2 1$/m);
    assert.equal(shop.printed.match(/order\.paid/g).length, 1);
  }
});

test("neither shop believes what is not signed", async () => {
  const { events } = await ask("/v1/events");
  const headers = {
    "webhook-id": events[0].id,
    "webhook-timestamp": String(Math.floor(Date.now() / 1000)),
    "webhook-signature": "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
  };
  for (const shop of Object.values(shops)) {
    const answer = await fetch(shop.url, { method: "POST", headers, body: JSON.stringify(events[0]) });
    assert.equal(answer.status, 401);
  }
});

test("the demo shop of `everpaid dev` is told, too", async () => {
  const data = join(directory, "dev");
  const anywhere = ["--listen", "--simulator-listen", "--metrics-listen", "--shop-listen"].flatMap((at) => [at, "127.0.0.1:0"]);
  const dev = new Running(executable, ["dev", "--data", data, ...anywhere], { cwd: directory });
  try {
    await dev.says(/Ctrl-C/);
    const { api_url, simulator_url, shop_url, api_key } = JSON.parse(readFileSync(join(data, "dev.json"), "utf8"));
    const post = async (url, body) => {
      const headers = { Authorization: `Bearer ${api_key}`, "Content-Type": "application/json" };
      return (await fetch(url, { method: "POST", headers, body: JSON.stringify(body) })).json();
    };
    const asked = { merchant_order_no: "D-1", description: "茶", amount: { total: 1, currency: "CNY" } };
    const { order } = await post(`${api_url}/v1/orders`, asked);
    const { payment } = await post(`${api_url}/v1/orders/${order.id}/payments`, { method: "native" });
    await post(`${simulator_url}/_sim/payments/${payment.out_trade_no}/pay`);
    const end = Date.now() + 30_000;
    for (let told = []; told.length === 0; ) {
      assert.ok(Date.now() < end, "the demo shop was not told");
      ({ told } = await (await fetch(`${shop_url}/told.json`)).json());
      if (told.length > 0) assert.deepEqual([told[0].type, told[0].data.order.id], ["order.paid", order.id]);
      else await new Promise((later) => setTimeout(later, 50));
    }
  } finally {
    await dev.stop();
  }
});

test("both languages of the page have the same snippets", () => {
  const chinese = readFileSync(join(repository, "docs/zh/webhooks.md"), "utf8");
  assert.deepEqual(blocks(chinese), blocks(english));
});
