//! The file of a trade bill (交易账单), byte for byte.
//!
//! UTF-8 with a mark, lines that end in CR LF, a header without backticks, cells with one each, and
//! a summary at the end. Amounts are yuan. Nothing is quoted: commas and line ends in merchants'
//! texts are replaced.

use crate::{
    clock::beijing_time,
    rules::{
        Order, Paid,
        bill::Kind,
        refund::{Refund, State},
    },
};

const MARK: &str = "\u{feff}";
const LINE_END: &str = "\r\n";

/// A payment, or one refund of it.
pub(crate) struct Row<'a> {
    pub order: &'a Order,
    pub paid: &'a Paid,
    pub refund: Option<&'a Refund>,
}

/// What is known when a bill is drawn up.
struct Known {
    kind: Kind,
    drawn_up_at: i64,
}

type Cell = fn(&Row<'_>, &Known) -> String;

/// In which bills a column is.
enum In {
    Every,
    /// Where there can be refunds.
    WithRefunds,
    OnlyRefunds,
}

const COLUMNS: &[(&str, In, Cell)] = &[
    ("交易时间", In::Every, |row, known| beijing_time(row.traded_at(known))),
    ("公众账号ID", In::Every, |row, _| row.order.terms.appid.clone()),
    ("商户号", In::Every, |row, _| row.order.terms.mchid.clone()),
    ("特约商户号", In::Every, |_, _| "0".into()),
    ("设备号", In::Every, |row, _| text(row.device_id())),
    ("微信订单号", In::Every, |row, _| row.paid.transaction_id.clone()),
    ("商户订单号", In::Every, |row, _| row.order.out_trade_no.clone()),
    ("用户标识", In::Every, |row, _| row.paid.openid.clone()),
    ("交易类型", In::Every, |row, _| row.order.endpoint.trade_type().into()),
    ("交易状态", In::Every, |row, _| if row.refund.is_some() { "REFUND" } else { "SUCCESS" }.into()),
    ("付款银行", In::Every, |_, _| "OTHERS".into()),
    ("货币种类", In::Every, |_, _| "CNY".into()),
    ("应结订单金额", In::Every, |row, _| yuan(row.taken())),
    ("代金券金额", In::Every, |_, _| yuan(0)),
    ("退款申请时间", In::OnlyRefunds, |row, _| {
        row.refund.map_or_else(String::new, |refund| beijing_time(refund.created_at))
    }),
    ("退款成功时间", In::OnlyRefunds, |row, known| {
        match row.refund.map(|refund| known.state(refund)) {
            Some(State::Success { at }) => beijing_time(at),
            _ => String::new(),
        }
    }),
    ("微信退款单号", In::WithRefunds, |row, _| {
        row.refund.map_or_else(|| "0".into(), |refund| refund.refund_id.clone())
    }),
    ("商户退款单号", In::WithRefunds, |row, _| {
        row.refund.map_or_else(|| "0".into(), |refund| refund.out_refund_no.clone())
    }),
    ("退款金额", In::WithRefunds, |row, _| yuan(row.given_back())),
    ("充值券退款金额", In::WithRefunds, |_, _| yuan(0)),
    ("退款类型", In::WithRefunds, |row, _| row.refund.map_or("", |_| "ORIGINAL").into()),
    ("退款状态", In::WithRefunds, |row, known| {
        row.refund.map_or("", |refund| status(known.state(refund))).into()
    }),
    ("商品名称", In::Every, |row, _| text(&row.order.terms.description)),
    ("商户数据包", In::Every, |row, _| text(row.order.terms.attach.as_deref().unwrap_or_default())),
    ("手续费", In::Every, |_, _| NO_FEE.into()),
    ("费率", In::Every, |_, _| "0.00%".into()),
    ("订单金额", In::Every, |row, _| yuan(row.taken())),
    ("申请退款金额", In::WithRefunds, |row, _| yuan(row.given_back())),
    ("费率备注", In::Every, |_, _| String::new()),
];

const SUMMARY: &str =
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额";

/// Nobody pays a fee here.
const NO_FEE: &str = "0.00000";

/// The bill of these trades as it was drawn up at that moment.
pub(crate) fn render(kind: Kind, rows: &[Row<'_>], drawn_up_at: i64) -> Vec<u8> {
    let known = Known { kind, drawn_up_at };
    let columns: Vec<_> = COLUMNS.iter().filter(|(_, within, _)| within.holds(kind)).collect();
    let header: Vec<_> = columns.iter().map(|(name, ..)| *name).collect();
    let mut bill = [MARK, &header.join(","), LINE_END].concat();
    for row in rows {
        add_line(&mut bill, columns.iter().map(|(_, _, cell)| cell(row, &known)));
    }
    let taken = sum(rows.iter().map(Row::taken));
    let given_back = sum(rows.iter().map(Row::given_back));
    bill.push_str(SUMMARY);
    bill.push_str(LINE_END);
    add_line(
        &mut bill,
        [
            rows.len().to_string(),
            yuan(taken),
            yuan(given_back),
            yuan(0),
            NO_FEE.to_owned(),
            yuan(taken),
            yuan(given_back),
        ],
    );
    bill.into_bytes()
}

fn add_line(bill: &mut String, cells: impl IntoIterator<Item = String>) {
    for (i, cell) in cells.into_iter().enumerate() {
        bill.push_str(if i == 0 { "`" } else { ",`" });
        bill.push_str(&cell);
    }
    bill.push_str(LINE_END);
}

fn sum(amounts: impl Iterator<Item = i64>) -> i64 {
    amounts.fold(0, i64::saturating_add)
}

/// Whole fen as yuan.
fn yuan(fen: i64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

/// A merchant's text, so that a line can be split at its commas.
fn text(text: &str) -> String {
    text.replace(',', "\\ ").replace('\r', "\\r").replace('\n', "\\n")
}

fn status(state: State) -> &'static str {
    match state {
        State::Processing => "PROCESSING",
        State::Success { .. } => "SUCCESS",
        State::Closed { .. } => "FAIL",
        State::Abnormal { .. } => "CHANGE",
    }
}

impl In {
    fn holds(&self, kind: Kind) -> bool {
        match self {
            Self::Every => true,
            Self::WithRefunds => kind.has_refunds(),
            Self::OnlyRefunds => kind == Kind::Refund,
        }
    }
}

impl Known {
    /// A bill is not rewritten: what ended later is still going on in it.
    fn state(&self, refund: &Refund) -> State {
        match refund.state.settled_at() {
            Some(at) if at < self.drawn_up_at => refund.state,
            _ => State::Processing,
        }
    }
}

impl Row<'_> {
    /// A refund is a trade of its own day; a bill of refunds alone tells of the payment here.
    fn traded_at(&self, known: &Known) -> i64 {
        match self.refund {
            Some(refund) if known.kind == Kind::All => refund.created_at,
            _ => self.paid.paid_at,
        }
    }

    fn taken(&self) -> i64 {
        if self.refund.is_some() { 0 } else { self.order.terms.amount.total }
    }

    fn given_back(&self) -> i64 {
        self.refund.map_or(0, |refund| refund.terms.amount.refund)
    }

    fn device_id(&self) -> &str {
        self.order.terms.scene_info.as_ref().and_then(|scene| scene.device_id.as_deref()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
