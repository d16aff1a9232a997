//! The sentences. Nothing of the payer, no secret, and no words of a database or a library.

use entity::{
    Timestamp, case, job,
    order::{self, Status},
    order_event::{self, Source},
    payment, refund, shipping, webhook_delivery,
};
use jobs::Kind;

use super::Sentence;

fn both(zh: impl Into<String>, en: impl Into<String>) -> Sentence {
    Sentence { zh: zh.into(), en: en.into() }
}

pub(super) fn of_order(order: &order::Model, payment: Option<&payment::Model>, now: Timestamp) -> Sentence {
    let amount = order.amount;
    match order.status {
        Status::Pending if order.close_asked_at.is_some() => {
            both("商户要求关闭订单，正在处理。", "The shop asked to close the order; that is under way.")
        }
        Status::Pending if now >= order.expires_at => both(
            format!("订单已于 {} 到期，正要关闭。", order.expires_at),
            format!("The order expired at {} and is about to be closed.", order.expires_at),
        ),
        Status::Pending if payment.is_none() => both(
            format!("等待付款 {amount}：还没有人发起支付。"),
            format!("Waiting for {amount}: nobody has tried to pay yet."),
        ),
        Status::Pending => both(format!("等待付款 {amount}。"), format!("Waiting for {amount}.")),
        Status::Closing => both(
            "正在关闭：先在微信支付关单，确认不能再付之后才在这里关闭。",
            "Being closed: first at WeChat Pay, and here only once it is certain that nobody can pay it any more.",
        ),
        Status::Closed => both(
            format!("已于 {} 关闭，没有收到付款。", shown(order.closed_at)),
            format!("Closed at {}; it was never paid.", shown(order.closed_at)),
        ),
        Status::Paid => both(
            format!("已付清 {amount}，微信支付收款时间 {}。", shown(order.paid_at)),
            format!("Paid in full, {amount}; WeChat Pay took the money at {}.", shown(order.paid_at)),
        ),
        Status::PartiallyRefunded => both(
            format!("已付款 {amount}，已退 {}。", order.refunded),
            format!("Paid, {amount}, of which {} went back.", order.refunded),
        ),
        Status::Refunded => both(
            format!("已付款 {amount}，已全额退款。"),
            format!("Paid, {amount}, and all of it went back."),
        ),
    }
}

/// What is to be said of a payment of an order that is not paid.
pub(super) fn of_payment(payment: &payment::Model) -> Option<Sentence> {
    let number = &payment.out_trade_no;
    Some(match payment.status {
        payment::Status::Queued => both(
            format!("支付单 {number} 在等前一笔在微信支付关闭，之后才会下单。"),
            format!(
                "Payment {number} waits until the one before it is closed at WeChat Pay; nothing was sent yet."
            ),
        ),
        payment::Status::Created => both(
            format!("支付单 {number} 已写下，还没有得到微信支付的下单结果。"),
            format!("Payment {number} is written down; WeChat Pay has not opened it yet."),
        ),
        payment::Status::AwaitingPayment => both(
            format!("支付单 {number} 已在微信支付下单，付款人还没有付。"),
            format!("Payment {number} is open at WeChat Pay; the payer has not paid."),
        ),
        payment::Status::Unknown => both(
            format!("支付单 {number} 的下单请求没有得到可信的回答：结果未知，要查单才能确定，不会换号重下。"),
            format!(
                "No answer that counts came to the create call of payment {number}: its outcome is unknown \
                 and is settled by asking, never by trying under another number."
            ),
        ),
        payment::Status::Closing => both(
            format!("支付单 {number} 正在微信支付关单。"),
            format!("Payment {number} is being closed at WeChat Pay."),
        ),
        payment::Status::Closed => both(
            format!("支付单 {number} 已在微信支付关闭。"),
            format!("Payment {number} is closed at WeChat Pay."),
        ),
        payment::Status::Failed => {
            let code = payment.failure_code.as_deref().unwrap_or("NOT_FOUND");
            both(
                format!("支付单 {number} 没有成立（{code}）；付款人可以再试。"),
                format!("Payment {number} did not come about ({code}); the payer may try again."),
            )
        }
        payment::Status::Succeeded => return None,
    })
}

pub(super) fn of_refund(refund: &refund::Model) -> Sentence {
    let (number, amount) = (&refund.out_refund_no, refund.amount);
    match refund.status {
        refund::Status::Requested => both(
            format!("退款 {number}（{amount}）已写下，还没有被微信支付受理。"),
            format!("Refund {number} of {amount} is written down; WeChat Pay has not taken it yet."),
        ),
        refund::Status::Unknown => both(
            format!("退款 {number}（{amount}）的请求没有得到可信的回答，用同一单号查询后再定。"),
            format!(
                "No answer that counts came to refund {number} of {amount}; asking under the same number settles it."
            ),
        ),
        refund::Status::Processing => both(
            format!("退款 {number}（{amount}）微信支付已受理，尚未到账。"),
            format!("WeChat Pay took refund {number} of {amount} and has not finished it."),
        ),
        refund::Status::Succeeded => both(
            format!("退款 {number}（{amount}）已于 {} 退回。", shown(refund.succeeded_at)),
            format!("Refund {number} of {amount} went back at {}.", shown(refund.succeeded_at)),
        ),
        refund::Status::Closed => both(
            format!("退款 {number}（{amount}）被微信支付关闭，钱没有动；要退需换新单号。"),
            format!(
                "WeChat Pay gave refund {number} of {amount} up; no money moved, and only a new one can be tried."
            ),
        ),
        refund::Status::Abnormal => both(
            format!("退款 {number}（{amount}）异常：付款人的账户收不了，需要到商户平台处理。"),
            format!(
                "Refund {number} of {amount} is stuck: the payer's account cannot take it, and a person must \
                 decide in WeChat Pay's console."
            ),
        ),
        refund::Status::Refused => {
            let code = refund.failure_code.as_deref().unwrap_or("—");
            both(
                format!("退款 {number}（{amount}）被微信支付拒绝（{code}），钱没有动。"),
                format!("WeChat Pay refused refund {number} of {amount} ({code}); no money moved."),
            )
        }
    }
}

pub(super) fn of_shipping(shipping: &shipping::Model) -> Sentence {
    let id = &shipping.id;
    match shipping.status {
        shipping::Status::Requested => both(
            format!("发货信息 {id} 已写下，微信还没有收下；在那之前小程序的这笔钱可能被冻结。"),
            format!(
                "Shipping {id} is written down; WeChat has not taken it yet, and may hold the money back until then."
            ),
        ),
        shipping::Status::Uploaded => both(
            format!("发货信息 {id} 已于 {} 录入微信。", shown(shipping.settled_at)),
            format!("WeChat took shipping {id} at {}.", shown(shipping.settled_at)),
        ),
        shipping::Status::Refused => {
            let code = shipping.failure_code.as_deref().unwrap_or("—");
            both(
                format!("发货信息 {id} 被微信拒绝（{code}）；更正后可以再录。"),
                format!("WeChat refused shipping {id} ({code}); another may be asked for."),
            )
        }
    }
}

pub(super) fn of_case(case: &case::Model) -> Sentence {
    let (zh, en) = match case.kind {
        case::Kind::LatePayment => ("订单关闭后收到付款", "money came after the order was closed"),
        case::Kind::Surplus => {
            ("订单已付清后又收到一笔付款", "money came although the order was paid already")
        }
        case::Kind::Mismatch => {
            ("微信支付所说与我们的记录不符", "what WeChat Pay says contradicts what we know")
        }
        case::Kind::UnknownNumber => ("收到一笔不认识的单号", "money came for a number that is not ours"),
        case::Kind::RefundFailed => ("一笔退款没有成功", "a refund did not go through"),
        case::Kind::BillDiscrepancy => ("与微信支付账单不符", "the books differ from WeChat Pay's bill"),
    };
    both(
        format!("待人处理（{}）：{zh}。用 everpaid cases resolve 处理。", case.id),
        format!("For a person to decide ({}): {en}. `everpaid cases resolve` does it.", case.id),
    )
}

/// What the shop has not been told, if there is such.
pub(super) fn of_deliveries(deliveries: &[webhook_delivery::Model]) -> Option<Sentence> {
    let count = |status| deliveries.iter().filter(|delivery| delivery.status == status).count();
    let (pending, dead) = (count(webhook_delivery::Status::Pending), count(webhook_delivery::Status::Dead));
    (pending + dead > 0).then(|| {
        both(
            format!("通知商户：{pending} 条待送达，{dead} 条已放弃（everpaid webhooks resend 重发）。"),
            format!(
                "Telling the shop: {pending} deliveries are under way, {dead} were given up \
                 (`everpaid webhooks resend` sends them again)."
            ),
        )
    })
}

/// What happened, and who said so.
pub(super) fn of_event(event: &order_event::Model) -> Sentence {
    use order_event::Kind as K;
    let (zh, en) = match event.kind {
        K::OrderCreated => ("商户下了订单", "the shop placed the order"),
        K::CloseAsked => ("商户要求关闭订单", "the shop asked to close the order"),
        K::OrderClosing => {
            ("订单开始关闭，不再接受新的支付", "the order is being closed; no payment is opened any more")
        }
        K::OrderClosed => ("订单已关闭", "the order is closed"),
        K::PaymentCreated => ("付款人发起支付", "a payer asked to pay"),
        K::PaymentStarted => {
            ("前一笔已关闭，开始下单", "the payment before it is closed, and this one is opened")
        }
        K::PrepayIssued => ("微信支付下单成功", "WeChat Pay opened the payment"),
        K::OutcomeLost => {
            ("请求没有得到可信的回答，结果未知", "a call was not answered; its outcome is unknown")
        }
        K::FoundUnpaid => ("查到支付单存在，未支付", "the payment exists and is not paid"),
        K::CreateRefused => ("微信支付拒绝下单", "WeChat Pay refused the payment"),
        K::NeverExisted => ("确定支付单从未在微信支付成立", "the payment never came to exist at WeChat Pay"),
        K::CloseRequested => ("支付单要关闭", "the payment is to be closed"),
        K::CloseConfirmed => ("支付单已在微信支付关闭", "the payment is closed at WeChat Pay"),
        K::PaymentSucceeded => ("支付成功", "the payment succeeded"),
        K::SurplusReceived => {
            ("订单已付清后又收到付款", "another payment succeeded although the order was paid")
        }
        K::MismatchReported => {
            ("微信支付所说与记录不符，未改动", "WeChat Pay contradicted what we know; nothing was changed")
        }
        K::RefundRequested => ("要求退款", "a refund was asked for"),
        K::RefundOutcomeLost => ("退款请求没有得到可信的回答", "a refund call was not answered"),
        K::RefundTaken => ("微信支付受理退款", "WeChat Pay took the refund"),
        K::RefundRefused => ("微信支付拒绝退款", "WeChat Pay refused the refund"),
        K::RefundSucceeded => ("退款已退回付款人", "the money went back to the payer"),
        K::RefundClosed => ("微信支付关闭了退款", "WeChat Pay gave the refund up"),
        K::RefundAbnormal => ("退款异常，需要人处理", "the payer's account cannot take the refund"),
        K::ShippingRequested => ("商户要求录入发货信息", "the shop said how the order is shipped"),
        K::ShippingUploaded => ("发货信息已录入微信", "WeChat knows how the order is shipped"),
        K::ShippingRefused => ("微信拒绝了发货信息", "WeChat refused what it was told of shipping"),
    };
    let (from_zh, from_en) = of_source(event.learnt_from);
    both(format!("{zh}（{from_zh}）"), format!("{en} ({from_en})"))
}

fn of_source(source: Source) -> (&'static str, &'static str) {
    match source {
        Source::Api => ("来自接口", "by the API"),
        Source::Call => ("微信支付当时的回答", "WeChat Pay's answer to our call"),
        Source::Notification => ("微信支付通知", "WeChat Pay's notification"),
        Source::Query => ("向微信支付查得", "WeChat Pay, when asked"),
        Source::Page => ("应页面请求向微信支付查得", "WeChat Pay, when asked for a page"),
        Source::Rule => ("按规则", "by our rules"),
        Source::Person => ("人工", "by a person"),
    }
}

/// What will be done.
pub(super) fn of_job(job: &job::Model, now: Timestamp) -> Sentence {
    let (zh, en) = match Kind::from_name(&job.kind) {
        Some(Kind::RequestPrepay) => {
            ("向微信支付下单（同样的内容）", "send the create call, the same bytes, to WeChat Pay")
        }
        Some(Kind::ApplyNotification) => ("处理微信支付的通知", "act on WeChat Pay's notification"),
        Some(Kind::ConfirmPayment) => ("向微信支付查单", "ask WeChat Pay about the payment"),
        Some(Kind::ClosePayment) => {
            ("在微信支付关单：先查，再关，再查", "close the payment at WeChat Pay: ask, close, ask again")
        }
        Some(Kind::CloseOrder) => ("到期未付则关闭订单", "close the order if it is not paid by then"),
        Some(Kind::RequestRefund) => {
            ("向微信支付申请退款（同一单号）", "ask WeChat Pay for the refund, under the same number")
        }
        Some(Kind::ConfirmRefund) => ("向微信支付查退款", "ask WeChat Pay about the refund"),
        Some(Kind::UploadShipping) => ("向微信录入发货信息", "tell WeChat how the order is shipped"),
        Some(Kind::PushStatus) => ("写下要通知商户的内容", "write down what the shop is to be told"),
        Some(Kind::DeliverWebhook) => ("通知商户", "tell the shop"),
        Some(Kind::SweepOverdue) | None => ("其他任务", "something else"),
    };
    let (state_zh, state_en) = if job.dead_at.is_some() {
        (
            format!("；已放弃，用 everpaid jobs revive {} 再试", job.id),
            format!("; given up, `everpaid jobs revive {}` tries again", job.id),
        )
    } else if job.lease.is_some() {
        ("；正在进行".to_owned(), "; under way".to_owned())
    } else if job.failures > 0 {
        let failures = job.failures;
        (
            format!("；已失败 {failures} 次，会再试"),
            format!("; it failed {failures} times and is tried again"),
        )
    } else if job.due_at < now {
        ("；已到时，等待执行".to_owned(), "; due, and waiting for a worker".to_owned())
    } else {
        (String::new(), String::new())
    };
    both(format!("{zh}{state_zh}"), format!("{en}{state_en}"))
}

/// Nobody sees to it: the table of jobs was emptied, for instance.
pub(super) fn of_forgotten() -> Sentence {
    both(
        "没有任务在看着这个订单；巡查（sweep_overdue）五分钟内会补上",
        "no job sees to this order; the sweeper (sweep_overdue) asks for one within five minutes",
    )
}

fn shown(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "—".to_owned(), |at| at.to_string())
}
