/** Every word the payer reads, in both languages, and how money and time are written. */

/** @typedef {"zh"|"en"} Language */

/** @type {Readonly<Record<Language, Record<string, string>>>} */
export const COPY = Object.freeze({
  zh: {
    title: "{amount} · {merchant}",
    title_paid: "支付成功 · {merchant}",
    title_plain: "收银台",
    switch: "English",
    switch_label: "Switch to English",
    simulator_tag: "模拟",
    simulator: "这是模拟环境，不会产生真实扣款。",
    simulator_open: "打开模拟手机付款",
    opens_new: "（在新标签页打开）",
    footer: "支付由微信支付处理，结果以服务器确认为准",

    payee: "收款方",
    order_no: "订单号",
    amount: "应付金额",
    amount_paid: "订单金额",
    time_left: "剩余支付时间",
    minutes_left: "订单还有 {minutes} 分钟过期。",
    days: "{days} 天 {clock}",

    loading_title: "正在读取订单",
    offline_title: "网络连接不上",
    offline_text: "请检查网络，恢复后本页会自动更新。",
    again: "重新连接",
    reconnecting: "网络不稳定，正在重新连接…",

    ready_title: "待支付",
    ready_text: "点击后生成付款二维码，用微信扫一扫即可付款。",
    pay: "微信扫码支付",
    cashier_ready_text: "点击后在微信中直接付款，无需扫码。",
    cashier_pay: "微信支付",
    qr: "改用扫码支付",
    wechat: "改回微信支付",
    ready_elsewhere: "此订单已在别的设备上发起支付。改用扫码，会先关闭那一次支付。",
    cashier_ready_elsewhere: "此订单已生成付款二维码。在这里支付，会先关闭那个二维码。",
    hint_cancelled: "支付未完成，可重新支付。",
    hint_authorize_again: "微信登录未完成，点击支付时会重新登录。",
    hint_replaced: "上一个二维码已失效，可以重新发起支付。",

    opening_title: "正在生成付款二维码…",
    opening_text: "请稍候，马上就好。",
    opening_slow: "微信支付响应较慢，我们仍在获取二维码，请不要关闭或刷新。",
    cashier_opening_title: "正在发起支付…",
    cashier_opening_slow: "微信支付响应较慢，我们仍在等待，请不要关闭或刷新。",

    authorizing_title: "正在连接微信…",
    authorizing_text: "正在通过微信确认付款人，无需任何操作。",
    calling_title: "正在拉起微信支付…",
    calling_text: "请在微信支付窗口中完成付款。",
    silent_title: "微信支付窗口打开了吗？",
    silent_text: "如果已经付款，请勿重复支付，点「我已支付」查询结果；如果窗口没有出现，请重新打开。",
    call_again: "重新打开微信支付",

    scan_title: "扫码支付",
    scan_to: "付款给 {merchant}",
    scan_text: "请使用微信「扫一扫」扫码支付",
    scan_note: "（不支持长按或相册识别）",
    qr_alt: "微信支付二维码：向 {merchant} 支付 {amount}",
    qr_broken: "二维码没有加载出来",
    qr_again: "重新加载",
    confirm: "我已支付",
    hint_not_yet: "暂未查到付款。如果您已经付款，请勿重复支付，结果会自动显示在这里。",

    qr_expired_title: "二维码已过期",
    qr_expired_text: "订单仍然有效，刷新二维码后即可继续支付。",
    qr_refresh: "刷新二维码",

    confirming_title: "正在确认支付结果",
    confirming_text: "正在向微信支付核实，请稍候，请勿重复支付。",

    paid_title: "支付成功",
    paid_text: "已收到您的付款，商家会收到通知。",
    paid_partially_refunded: "此订单已部分退款，款项原路退回。",
    paid_refunded: "此订单已退款，款项原路退回。",
    paid_at: "支付时间",
    transaction: "微信支付单号",
    back: "返回商家",

    unclear_title: "暂时无法确认支付结果",
    unclear_text: "如果您已经付款，请勿重复支付。请稍后再查，或在商家的订单页查看。",
    confirm_again: "再查一次",
    unpaid: "我还没有付款，返回二维码",
    cashier_unpaid: "我还没有付款，返回",

    failed_title: "支付未完成",
    failed_reason: "原因：{reason}",
    retry: "重新支付",
    failed_unknown: "微信支付没有接受这次请求，请重试或联系商家。",
    failed_network: "网络中断，没有收到回应。可以放心重试，不会重复扣款。",
    failed_slow: "微信支付暂时没有回应。可以放心重试，不会重复扣款。",
    failed_amount_differs: "订单金额有变化，请核对金额后再支付。",
    failed_order_expired: "订单即将过期，不能再发起支付。",
    failed_payment_in_progress: "上一次支付正在处理，请稍等几秒再试。",
    failed_too_many_payments: "这个订单的支付次数已用完，请联系商家重新下单。",
    failed_order_closed: "订单已关闭，不能再发起支付。",
    failed_order_paid: "订单已经支付，请勿重复支付。",
    failed_authorization_expired: "微信登录没有成功，请重试，或改用扫码支付。",
    failed_too_many_authorizations: "尝试次数过多，请稍后再试，或改用扫码支付。",
    failed_openid_not_verified: "微信没有确认付款人，请重试，或改用扫码支付。",
    failed_payer_refused: "微信没有提供付款人，可能是账号受限。请改用扫码支付。",
    failed_snapshot_user: "您正在以预览方式浏览，微信没有提供付款人。请点击页面下方的「使用完整服务」，再重新支付。",
    failed_wechat_unavailable: "微信暂时没有回应，请稍后重试。",
    failed_cashier_failed: "微信没有完成这次付款，例如余额不足或被限制。可以放心重试，不会重复扣款；也可以改用扫码支付。",
    failed_cashier_denied: "微信不允许在当前页面付款。请复制链接，在微信聊天中打开，或改用扫码支付。",
    failed_cashier_old: "当前微信版本不支持付款，请更新微信，或改用扫码支付。",
    failed_cashier_missing: "没有找到微信支付。请在手机微信中打开本页，或改用扫码支付。",
    support_code: "反馈给商家时请提供：{code}",
    support: "联系商家：",

    expired_title: "订单已过期",
    expired_text: "支付时间已过。请回到商家重新下单；如果您已经付款，请勿重复支付，结果会显示在这里。",
    closing_title: "订单正在关闭",
    closing_text: "正在与微信支付核对。如果您已经付款，请勿重复支付，结果会显示在这里。",
    closed_title: "订单已关闭",
    closed_text: "这个订单不能再支付，没有付款则无需任何操作。如果您已经付款，请勿重复支付，请联系商家处理。",

    gone_title: "链接无效",
    gone_text: "链接可能不完整，或已经失效。请回到商家的订单页重新打开。",

    phone_title: "正在用这台手机付款？",
    phone_text: "手机不能扫描自己的屏幕。请复制链接，在微信中打开，或转发到电脑上打开，再用微信「扫一扫」付款。",
    wxwork_title: "您正在企业微信中浏览",
    wxwork_text: "企业微信里不能直接付款。请复制链接，在微信中打开；也可以用微信「扫一扫」扫描本页的二维码。",
    wechat_title: "您正在微信中浏览",
    wechat_text: "请复制链接，在电脑浏览器中打开，再用微信「扫一扫」付款；也可以用另一台手机扫描本页的二维码。",
    mini_program_title: "您正在小程序中浏览",
    mini_program_text: "小程序内的网页不能直接付款。请复制链接，在电脑浏览器中打开，再用微信「扫一扫」付款。",
    copy_number: "复制微信支付单号",
    copy_link: "复制链接，在微信中打开",
    copy_link_here: "复制链接，在电脑上打开",
    copied: "已复制",
    copy_failed: "请长按下面的链接复制",
  },

  en: {
    title: "{amount} · {merchant}",
    title_paid: "Paid · {merchant}",
    title_plain: "Checkout",
    switch: "中文",
    switch_label: "切换为中文",
    simulator_tag: "Simulated",
    simulator: "This is a simulation. No real money moves.",
    simulator_open: "Pay with the simulated phone",
    opens_new: " (opens in a new tab)",
    footer: "Payment is handled by WeChat Pay; the server confirms the result",

    payee: "Pay to",
    order_no: "Order",
    amount: "Amount due",
    amount_paid: "Order amount",
    time_left: "Time left to pay",
    minutes_left: "This order expires in {minutes} min.",
    days: "{days} d {clock}",

    loading_title: "Loading your order",
    offline_title: "You are offline",
    offline_text: "Please check your connection. This page updates by itself once it is back.",
    again: "Try again",
    reconnecting: "The connection is unsteady. Reconnecting…",

    ready_title: "Ready to pay",
    ready_text: "We'll show you a QR code to scan with WeChat.",
    pay: "Pay with WeChat QR code",
    cashier_ready_text: "You will pay right here in WeChat; nothing to scan.",
    cashier_pay: "Pay with WeChat",
    qr: "Use a QR code instead",
    wechat: "Pay in WeChat instead",
    ready_elsewhere: "A payment was started on another device. Switching to a QR code closes that one first.",
    cashier_ready_elsewhere: "A QR code was made for this order. Paying here closes that one first.",
    hint_cancelled: "The payment was not completed. You can pay again.",
    hint_authorize_again: "The WeChat login was not completed. Tapping to pay logs in again.",
    hint_replaced: "The previous QR code no longer works. You can start again.",

    opening_title: "Preparing your QR code…",
    opening_text: "This takes a moment.",
    opening_slow: "WeChat Pay is slow to answer. We are still working on it; please keep this page open.",
    cashier_opening_title: "Starting your payment…",
    cashier_opening_slow: "WeChat Pay is slow to answer. We are still waiting; please keep this page open.",

    authorizing_title: "Connecting to WeChat…",
    authorizing_text: "WeChat is telling us who pays. There is nothing to do.",
    calling_title: "Opening WeChat Pay…",
    calling_text: "Please complete the payment in WeChat Pay's window.",
    silent_title: "Did WeChat Pay open?",
    silent_text: "If you have paid, please do not pay again: tap “I have paid” to check. If no window came up, open it again.",
    call_again: "Open WeChat Pay again",

    scan_title: "Scan to pay",
    scan_to: "Pay {merchant}",
    scan_text: "Open WeChat and use Scan to pay",
    scan_note: "(long press and photo album don't work)",
    qr_alt: "WeChat Pay QR code: pay {amount} to {merchant}",
    qr_broken: "The QR code did not load",
    qr_again: "Load again",
    confirm: "I have paid",
    hint_not_yet: "No payment found yet. If you have paid, please do not pay again; the result will appear here.",

    qr_expired_title: "This QR code has expired",
    qr_expired_text: "Your order is still open. Refresh the code to continue.",
    qr_refresh: "Refresh QR code",

    confirming_title: "Confirming your payment",
    confirming_text: "We are checking with WeChat Pay. Please wait, and do not pay again.",

    paid_title: "Payment successful",
    paid_text: "Your payment has arrived, and the merchant will be told.",
    paid_partially_refunded: "Part of this order was refunded to where it was paid from.",
    paid_refunded: "This order was refunded to where it was paid from.",
    paid_at: "Paid at",
    transaction: "WeChat Pay number",
    back: "Return to merchant",

    unclear_title: "We can't confirm the result yet",
    unclear_text: "If you have paid, please do not pay again. Check again shortly, or look at your order with the merchant.",
    confirm_again: "Check again",
    unpaid: "I have not paid; back to the QR code",
    cashier_unpaid: "I have not paid; go back",

    failed_title: "Payment not completed",
    failed_reason: "Reason: {reason}",
    retry: "Try again",
    failed_unknown: "WeChat Pay did not accept this request. Please try again or contact the merchant.",
    failed_network: "The connection broke before an answer came. It is safe to try again; you won't be charged twice.",
    failed_slow: "WeChat Pay is not answering right now. It is safe to try again; you won't be charged twice.",
    failed_amount_differs: "The amount of this order has changed. Please check it before you pay.",
    failed_order_expired: "This order is about to expire, so no new payment can be started.",
    failed_payment_in_progress: "An earlier payment is still being processed. Please try again in a few seconds.",
    failed_too_many_payments: "This order has been tried too many times. Please ask the merchant for a new one.",
    failed_order_closed: "This order is closed, so no payment can be started.",
    failed_order_paid: "This order is paid. Please do not pay again.",
    failed_authorization_expired: "The WeChat login did not work. Please try again, or use a QR code.",
    failed_too_many_authorizations: "That was tried too often. Please try again later, or use a QR code.",
    failed_openid_not_verified: "WeChat did not say who pays. Please try again, or use a QR code.",
    failed_payer_refused: "WeChat refused to say who pays; the account may be limited. Please use a QR code.",
    failed_snapshot_user:
      "You are previewing this page, so WeChat did not say who pays. Tap “Use full service” (使用完整服务) below, then pay again.",
    failed_wechat_unavailable: "WeChat is not answering right now. Please try again shortly.",
    failed_cashier_failed:
      "WeChat did not complete this payment: too little balance, say, or a limit. It is safe to try again; you won't be charged twice. Or use a QR code.",
    failed_cashier_denied: "WeChat takes no payment on this page. Copy the link and open it in a WeChat chat, or use a QR code.",
    failed_cashier_old: "This version of WeChat can't pay here. Please update WeChat, or use a QR code.",
    failed_cashier_missing: "WeChat Pay was not found. Please open this page in WeChat on a phone, or use a QR code.",
    support_code: "For the merchant's support: {code}",
    support: "Contact the merchant: ",

    expired_title: "This order has expired",
    expired_text:
      "The time to pay is over. Please order again with the merchant. If you have paid, do not pay again; the result will appear here.",
    closing_title: "This order is being closed",
    closing_text: "We are checking with WeChat Pay. If you have paid, do not pay again; the result will appear here.",
    closed_title: "This order is closed",
    closed_text:
      "It can no longer be paid. If you have not paid, there is nothing to do. If you have, please do not pay again and contact the merchant.",

    gone_title: "This link does not work",
    gone_text: "It may be incomplete or no longer valid. Please open it again from your order with the merchant.",

    phone_title: "Paying with this phone?",
    phone_text:
      "A phone can't scan its own screen. Copy the link to open in WeChat, or send it to a computer, then scan the code with WeChat.",
    wxwork_title: "You are inside WeCom",
    wxwork_text: "WeCom can't take this payment. Copy the link and open it in WeChat, or scan the code on this page with WeChat.",
    wechat_title: "You are inside WeChat",
    wechat_text:
      "Copy the link, open it in a browser on a computer and scan it with WeChat; or scan the code on this page with another phone.",
    mini_program_title: "You are inside a mini-program",
    mini_program_text:
      "A web page inside a mini-program can't take a payment. Copy the link, open it in a browser on a computer and scan it with WeChat.",
    copy_number: "Copy the WeChat Pay number",
    copy_link: "Copy link to open in WeChat",
    copy_link_here: "Copy link to open on a computer",
    copied: "Copied",
    copy_failed: "Please copy the link below",
  },
});

/**
 * @param {Language} language
 * @param {string} key
 * @param {Record<string, string|number>=} values
 */
export function text(language, key, values) {
  const words = COPY[language][key];
  if (words === undefined) throw new Error("no copy for " + key);
  return words.replace(/\{(\w+)\}/g, (slot, name) => (values && name in values ? String(values[name]) : slot));
}

/**
 * Where the payer pays by WeChat's cashier, some things are said in other words: those of `cashier_` and the key.
 * @param {string} key
 */
export function atTheCashier(key) {
  return "cashier_" + key in COPY.zh ? "cashier_" + key : key;
}

/**
 * Words for a refusal we know by its code, else undefined.
 * @param {Language} language
 * @param {string} code
 */
export function reasonFor(language, code) {
  return Object.prototype.hasOwnProperty.call(COPY[language], "failed_" + code)
    ? COPY[language]["failed_" + code]
    : undefined;
}

/**
 * Chinese first; English for readers whose browser asks for something else than Chinese.
 * @param {string=} preferred
 * @returns {Language}
 */
export function languageFor(preferred) {
  return !preferred || /^zh\b/i.test(preferred) ? "zh" : "en";
}

/**
 * 123456 fen → "¥1,234.56". Whole numbers only: a float never touches money.
 * @param {number} fen
 */
export function yuan(fen) {
  if (!Number.isSafeInteger(fen)) return "¥—";
  const digits = String(Math.abs(fen)).padStart(3, "0");
  const whole = digits.slice(0, -2).replace(/\B(?=(\d{3})+$)/g, ",");
  return (fen < 0 ? "-" : "") + "¥" + whole + "." + digits.slice(-2);
}

/**
 * 3725000 ms → "1:02:05"; from a day on "1 天 01:02:05".
 * @param {Language} language
 * @param {number} ms
 */
export function countdown(language, ms) {
  const seconds = Math.ceil(ms / 1000);
  const pad = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const clock = pad(Math.floor((seconds % 3600) / 60)) + ":" + pad(seconds % 60);
  const hours = Math.floor(seconds / 3600);
  if (hours === 0) return clock;
  if (hours < 24) return hours + ":" + clock;
  return text(language, "days", { days: Math.floor(hours / 24), clock: pad(hours % 24) + ":" + clock });
}

/**
 * A moment in China's time, which is the time on the payer's WeChat receipt.
 * @param {Language} language
 * @param {string} at
 */
export function moment(language, at) {
  const format = new Intl.DateTimeFormat(language === "zh" ? "zh-CN" : "en-GB", {
    timeZone: "Asia/Shanghai",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hour12: false,
  });
  return format.format(new Date(at));
}
