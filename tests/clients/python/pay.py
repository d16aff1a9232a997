"""A whole shop's day with PyPI's `wechatpayv3`, as it is published, against the simulator.

The client has WeChat's host in its code, so it is led to the simulator by a proxy:

    everpaid simulator --proxy-listen 127.0.0.1:8704
    HTTPS_PROXY=http://127.0.0.1:8704 REQUESTS_CA_BUNDLE=wechatpay-simulator-ca.pem python pay.py

`WITH_CERTIFICATES=1` makes it download the platform certificates instead of using the public key.
"""

import csv
import datetime
import gzip
import hashlib
import io
import json
import os
import queue
import secrets
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from wechatpayv3 import WeChatPay, WeChatPayType

SIMULATOR = os.environ.get("SIMULATOR", "http://127.0.0.1:8701")


def control(method, path, body=None):
    """One of the simulator's own controls, under /_sim/."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{SIMULATOR}/_sim{path}", data=data, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def expect(answer, *statuses):
    """The body of an answer with one of these statuses."""
    status, body = answer
    assert status in statuses, f"{status} {body}"
    return json.loads(body) if body else None


# 1. The client, with the merchant's credentials.
merchant = control("GET", "/merchant")
public_key = {}
if "WITH_CERTIFICATES" not in os.environ:
    public_key = {"public_key": merchant["public_key"], "public_key_id": merchant["public_key_id"]}
wechatpay = WeChatPay(
    wechatpay_type=WeChatPayType.NATIVE,
    mchid=merchant["mchid"],
    private_key=merchant["private_key"],
    cert_serial_no=merchant["certificate_serial"],
    apiv3_key=merchant["apiv3_key"],
    appid=merchant["apps"][0]["appid"],
    **public_key,
)

# 2. Where notifications go: verified and opened by the client, answered only then.
heard = queue.Queue()


class Notifications(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = wechatpay.callback(self.headers, body)
        if said:
            heard.put(said)
        self.send_response(204 if said else 401)
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Notifications)
threading.Thread(target=server.serve_forever, daemon=True).start()
notify_url = f"http://127.0.0.1:{server.server_port}/notify"


def hear(event_type):
    said = heard.get(timeout=20)
    assert said["event_type"] == event_type, said["event_type"]
    return said["resource"]


# 3. Create, and look.
number = f"PY-{secrets.token_hex(8)}"
order = {"description": "一壶龙井", "out_trade_no": number, "amount": {"total": 3990}, "notify_url": notify_url}
created = expect(wechatpay.pay(**order), 200)
assert created["code_url"].startswith("weixin://"), created
assert expect(wechatpay.query(out_trade_no=number), 200)["trade_state"] == "NOTPAY"

# 4. The payer pays; the notification says so, and so does a query by WeChat's number.
control("POST", f"/payments/{number}/pay")
paid = hear("TRANSACTION.SUCCESS")
assert (paid["out_trade_no"], paid["amount"]["total"]) == (number, 3990), paid
found = expect(wechatpay.query(transaction_id=paid["transaction_id"]), 200)
assert (found["trade_state"], found["payer"]) == ("SUCCESS", paid["payer"]), found

# 5. Nobody wants the second pot: close it.
other = f"{number}-2"
payer = {"openid": "oPython"}
expect(wechatpay.pay(**{**order, "out_trade_no": other}, payer=payer, pay_type=WeChatPayType.JSAPI), 200)
expect(wechatpay.close(out_trade_no=other), 204)
assert expect(wechatpay.query(out_trade_no=other), 200)["trade_state"] == "CLOSED"

# 6. Ten yuan go back.
amount = {"refund": 1000, "total": 3990, "currency": "CNY"}
asked = {"out_refund_no": f"{number}-R", "out_trade_no": number, "amount": amount, "notify_url": notify_url}
refund = expect(wechatpay.refund(**asked), 200)
assert refund["status"] == "PROCESSING", refund
control("POST", "/clock", {"advance_seconds": 60})
finished = hear("REFUND.SUCCESS")
assert (finished["refund_status"], finished["amount"]["refund"]) == ("SUCCESS", 1000), finished
assert expect(wechatpay.query_refund(out_refund_no=f"{number}-R"), 200)["status"] == "SUCCESS"
assert expect(wechatpay.query(out_trade_no=number), 200)["trade_state"] == "REFUND"

# 7. The next day the books are compared with WeChat's bill.
beijing = datetime.timezone(datetime.timedelta(hours=8))
today = datetime.datetime.fromisoformat(paid["success_time"]).astimezone(beijing).date().isoformat()
control("POST", "/clock", {"advance_seconds": 36 * 3600})
bill = expect(wechatpay.trade_bill(today, tar_type="GZIP"), 200)
status, file = wechatpay.download_bill(bill["download_url"])
assert status == 200, file
plain = gzip.decompress(file)
assert hashlib.sha1(plain).hexdigest() == bill["hash_value"].lower()
lines = csv.DictReader(io.StringIO(plain.decode("utf-8-sig")))
ours = [line for line in lines if line["商户订单号"] == f"`{number}"]
assert [(line["交易状态"], line["订单金额"], line["申请退款金额"]) for line in ours] == [
    ("`SUCCESS", "`39.90", "`0.00"),
    ("`REFUND", "`0.00", "`10.00"),
], ours

server.shutdown()
print("created, queried, paid, closed, refunded and billed")
