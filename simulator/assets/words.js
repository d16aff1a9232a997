// The words of both pages: Chinese first, and a switch that is remembered.

const WORDS = {
  "zh-CN": {
    title: "微信支付模拟器",
    lead: "这里不是微信支付，而是它的模拟器：同样的路径、签名、加密、通知与重试，没有真实资金。把 SDK 的域名指向这里即可。",
    base: "接口地址",
    mchid: "商户号",
    clock: "模拟时间",
    faults: "正在发生的故障",
    noFaults: "无",
    phone: "打开付款手机",
    keys: "密钥与应用 (JSON)",
    ledger: "账本 (JSON)",
    orders: "订单",
    empty: "还没有订单。调用 JSAPI 或 Native 下单后，会立刻出现在这里。",
    lost: "模拟器没有回应，正在重试…",
    payLink: "用手机付款",
    details: "详情",
    NOTPAY: "待支付",
    SUCCESS: "已支付",
    CLOSED: "已关闭",
    REFUND: "已退款",
    home: "首页",
    holder: "手机在谁手里",
    scanTitle: "扫一扫",
    codeLabel: "粘贴 code_url 或 prepay_id",
    next: "下一步",
    waiting: "待付款",
    nothingWaits: "扫过而没有付的订单会留在这里。",
    to: "付款给商户 {mchid}",
    merchantNamed: "商户 {mchid}",
    payee: "收款方",
    payerIs: "付款人",
    from: "付款方式",
    wallet: "零钱",
    paidAt: "支付时间",
    transaction: "交易单号",
    description: "商品",
    number: "商户单号",
    confirm: "确认支付",
    tray: "模拟器：付款人也可以",
    short: "余额不足",
    later: "稍后支付",
    cancel: "取消",
    paid: "支付成功",
    left: "已取消支付",
    putOff: "稍后支付",
    failed: "支付失败：余额不足",
    paidNote: "通知正在送往商户。",
    leftNote: "订单仍然有效，可以继续支付。",
    putOffNote: "订单留在手机的待付款里。",
    finish: "完成",
    known: "知道了",
    refusedNote: "微信在打开收银台之前检查了参数。",
    passwordTitle: "请输入支付密码",
    passwordLabel: "六位支付密码",
    passwordHint: "模拟器：任意六位数字都对，000000 除外。",
    wrongPassword: "支付密码错误，请重试",
    closePassword: "关闭",
    erase: "退格",
    again: "继续支付",
    giveUp: "返回商户",
    rescan: "扫另一个码",
    unknownCode: "二维码无效，或已被新的二维码取代。",
    noAnswer: "模拟器没有回应，请重试。",
    because_paid: "订单已支付。",
    because_closed: "订单已关闭，不能再支付。",
    because_expired: "订单已过支付截止时间。",
    because_code_expired: "支付码已超过两小时，请商户重新下单获取。",
    because_other_payer: "下单账号与支付账号不一致。",
    because_scanned_by_other: "商家订单信息有误：另一位付款人先扫了这个码。",
    authorizeTitle: "申请获取你的信息",
    authorizeApp: "应用 {appid}",
    authorizeWho: "以 {name} 的身份允许它获取：",
    grantsProfile: "你的公开信息（昵称、头像等）",
    allow: "允许",
    deny: "拒绝",
    denied: "已拒绝授权，可以关闭此页。",
    relaunch: "重新进入",
    miniProgram: "小程序",
    cashier: "模拟的微信收银台",
    demoTitle: "示例小程序",
    demoNote: "它的后端由这一页自己扮演（mini-program-demo-shop.js）。换成你的页面：/mini-program?page=…",
    demoWare: "示例商品 · 春茶一盒",
    buy: "立即购买",
    demoAsking: "正在确认支付结果…",
    demoUnpaid: "支付未完成，可以再次购买。",
    demoBroke: "没有成功，原因见下。",
    foot: "没有真实资金，也不会联系微信。",
    other: "English",
  },
  en: {
    title: "WeChat Pay simulator",
    lead: "This is not WeChat Pay but its simulator: the same paths, signatures, encryption, notifications and retries, and no real money. Point your SDK's host here.",
    base: "API base",
    mchid: "Merchant id",
    clock: "Simulated time",
    faults: "Faults in force",
    noFaults: "none",
    phone: "Open the payer's phone",
    keys: "Keys and apps (JSON)",
    ledger: "Ledger (JSON)",
    orders: "Orders",
    empty: "No orders yet. Create one through JSAPI or Native and it appears here at once.",
    lost: "The simulator does not answer; trying again…",
    payLink: "Pay by phone",
    details: "Details",
    NOTPAY: "Unpaid",
    SUCCESS: "Paid",
    CLOSED: "Closed",
    REFUND: "Refunded",
    home: "Home",
    holder: "Who holds the phone",
    scanTitle: "Scan",
    codeLabel: "Paste a code_url or prepay_id",
    next: "Next",
    waiting: "To be paid",
    nothingWaits: "Orders that were opened and not paid stay here.",
    to: "Pay merchant {mchid}",
    merchantNamed: "Merchant {mchid}",
    payee: "Paid to",
    payerIs: "Payer",
    from: "From",
    wallet: "Balance",
    paidAt: "Paid at",
    transaction: "Transaction",
    description: "Item",
    number: "Order number",
    confirm: "Confirm and pay",
    tray: "Simulator: the payer may also have or choose",
    short: "Balance too low",
    later: "Pay later",
    cancel: "Cancel",
    paid: "Paid",
    left: "Payment cancelled",
    putOff: "Paying later",
    failed: "Payment failed: balance too low",
    paidNote: "The merchant is being notified.",
    leftNote: "The order is still open and can be paid.",
    putOffNote: "The order waits on the phone, under “To be paid”.",
    finish: "Done",
    known: "OK",
    refusedNote: "WeChat checked the parameters before opening the cashier.",
    passwordTitle: "Payment password",
    passwordLabel: "Six-digit payment password",
    passwordHint: "Simulator: any six digits are right, except 000000.",
    wrongPassword: "Wrong password, please try again",
    closePassword: "Close",
    erase: "Erase",
    again: "Pay after all",
    giveUp: "Back to the merchant",
    rescan: "Scan another code",
    unknownCode: "This code is not valid, or a newer one replaced it.",
    noAnswer: "The simulator does not answer; please try again.",
    because_paid: "This order is paid already.",
    because_closed: "This order is closed and cannot be paid.",
    because_expired: "The time to pay this order has passed.",
    because_code_expired: "This code is older than two hours; the merchant can ask for a new one.",
    because_other_payer: "Another payer ordered this.",
    because_scanned_by_other: "Another payer scanned this code first.",
    authorizeTitle: "Asks to know more about you",
    authorizeApp: "App {appid}",
    authorizeWho: "As {name}, you let it have:",
    grantsProfile: "Your public profile (nickname, picture)",
    allow: "Allow",
    deny: "Refuse",
    denied: "Refused. You can close this page.",
    relaunch: "Enter again",
    miniProgram: "Mini-program",
    cashier: "Simulated WeChat cashier",
    demoTitle: "Demo mini-program",
    demoNote: "This page plays its own back end (mini-program-demo-shop.js). Use your own page: /mini-program?page=…",
    demoWare: "Sample · a box of spring tea",
    buy: "Buy now",
    demoAsking: "Confirming the payment…",
    demoUnpaid: "Not paid; you can buy again.",
    demoBroke: "It did not work; see below.",
    foot: "No real money, and WeChat is never contacted.",
    other: "中文",
  },
};

const KEPT = "simulator-language";
let current = localStorage.getItem(KEPT) === "en" ? "en" : "zh-CN";

/** @returns {"zh-CN" | "en"} */
export function language() {
  return current;
}

/** @param {string} key @param {Record<string, string>} [values] */
export function t(key, values = {}) {
  const text = WORDS[current][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Writes the words into the page, now and at every switch. @param {() => void} redraw */
export function speak(redraw) {
  const button = document.getElementById("language");
  const write = () => {
    document.documentElement.lang = current;
    for (const element of document.querySelectorAll("[data-t]")) {
      element.textContent = t(element.dataset.t);
    }
    for (const element of document.querySelectorAll("[data-t-label]")) {
      element.setAttribute("aria-label", t(element.dataset.tLabel));
    }
    button.textContent = t("other");
    button.lang = current === "en" ? "zh-CN" : "en";
    redraw();
  };
  button.addEventListener("click", () => {
    current = current === "en" ? "zh-CN" : "en";
    localStorage.setItem(KEPT, current);
    write();
  });
  write();
}

/** Whole fen as yuan. @param {number} fen */
export function yuan(fen) {
  return `${Math.trunc(fen / 100)}.${String(fen % 100).padStart(2, "0")}`;
}

/** A moment as WeChat Pay writes it, for people. @param {string} rfc3339 */
export function moment(rfc3339) {
  return rfc3339.slice(0, 19).replace("T", " ");
}
