//! The trade bill 交易账单: everything that was paid and refunded on one day, by WeChat's books
//! (WeChat Pay documentation, 申请交易账单, 下载账单 and 交易账单).
//!
//! It is a file of text: a byte order mark, lines ended by CR LF, cells split by commas, a
//! backtick before every value. Columns are found by their names, because the kinds of bills have
//! different ones and WeChat adds more. Amounts are decimal yuan and become whole fen without
//! ever being a floating-point number.

use std::io::Read as _;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use flate2::read::MultiGzDecoder;
use jiff::civil;
use jiff::tz::offset;
use serde::Deserialize;

use crate::Cause;

#[cfg(test)]
mod tests;

/// A bill to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BillRequest {
    /// The day of the payments in Beijing: before today, at most three months ago. Its bill is
    /// ready after ten o'clock the next morning.
    pub date: civil::Date,
    /// Which rows.
    pub kind: BillKind,
    /// Whether the file is sent compressed; [`Client::download_bill`](crate::Client::download_bill)
    /// opens it again.
    pub is_compressed: bool,
}

/// Which rows a bill has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillKind {
    /// Payments and refunds.
    All,
    /// Payments.
    Success,
    /// Refunds.
    Refund,
}

impl BillKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::Success => "SUCCESS",
            Self::Refund => "REFUND",
        }
    }
}

impl BillRequest {
    /// Path and query as they are signed and sent.
    pub(crate) fn target(&self) -> String {
        let Self { date, kind, is_compressed } = self;
        let kind = kind.as_str();
        let compression = if *is_compressed { "&tar_type=GZIP" } else { "" };
        format!("/v3/bill/tradebill?bill_date={date}&bill_type={kind}{compression}")
    }
}

/// Where a bill's file is, for [`Client::download_bill`](crate::Client::download_bill).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BillFile {
    /// `SHA1`.
    pub hash_type: String,
    /// Hex, of the file before it was compressed.
    pub hash_value: String,
    /// Good for five minutes, and for the merchant that asked.
    pub download_url: String,
}

/// The first two bytes of everything gzip wrote (RFC 1952); a bill starts with a byte order mark.
const GZIP: [u8; 2] = [0x1f, 0x8b];

impl BillFile {
    /// The file as text, from what was downloaded, if it is what WeChat promised.
    ///
    /// The documentation does not say what the hash is of: the official sample takes the file
    /// before compression, so that comes first, and the bytes as sent second.
    pub(crate) fn opened(&self, sent: Vec<u8>, bytes_max: usize) -> Result<Vec<u8>, Cause> {
        if self.hash_type != "SHA1" {
            return Err(Cause::Unusable);
        }
        let unzipped = match sent.starts_with(&GZIP) {
            true => Some(unzipped(&sent, bytes_max)?),
            false => None,
        };
        match unzipped {
            None if self.is_hash_of(&sent) => Ok(sent),
            Some(plain) if self.is_hash_of(&plain) => Ok(plain),
            Some(plain) if self.is_hash_of(&sent) => {
                tracing::info!("the bill's hash is of the compressed file");
                Ok(plain)
            }
            _ => Err(Cause::HashDiffers),
        }
    }

    fn is_hash_of(&self, bytes: &[u8]) -> bool {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
        hex::encode(hash).eq_ignore_ascii_case(&self.hash_value)
    }
}

/// A small file can unfold into one that fills our memory.
fn unzipped(sent: &[u8], bytes_max: usize) -> Result<Vec<u8>, Cause> {
    let mut plain = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(sent).take(limit).read_to_end(&mut plain).map_err(|_| Cause::HashDiffers)?;
    if plain.len() > bytes_max { Err(Cause::Unusable) } else { Ok(plain) }
}

/// A bill as WeChat wrote it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeBill {
    /// In the order of the file.
    pub rows: Vec<BillRow>,
    /// The last line, which sums up the rows.
    pub summary: BillSummary,
}

/// One payment or one refund.
///
/// A refund has a row of its own, on the day it was taken in, and that row never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillRow {
    /// When it was paid, or the refund taken in, in Unix seconds (交易时间).
    pub at: i64,
    /// The app (公众账号ID).
    pub appid: String,
    /// The merchant (商户号).
    pub mchid: String,
    /// WeChat's number of the order (微信订单号).
    pub transaction_id: String,
    /// The merchant's number of the order (商户订单号).
    pub out_trade_no: String,
    /// `JSAPI`, `NATIVE`, …; not always the words of the API (交易类型).
    pub trade_type: String,
    /// `SUCCESS` for a payment, `REFUND` for a refund, `REVOKED` (交易状态).
    pub trade_state: String,
    /// `CNY` (货币种类).
    pub currency: String,
    /// What the order was for, in whole fen: the figure to compare; 0 on the row of a refund
    /// (订单金额).
    pub total_fen: i64,
    /// What the merchant gets before fees, in whole fen (应结订单金额).
    pub settlement_fen: i64,
    /// As sent with the order (商户数据包).
    pub attach: String,
    /// The fee, in hundred-thousandths of a yuan: WeChat counts it to five decimals (手续费).
    pub fee_e5_yuan: i64,
    /// The refund, on its row.
    pub refund: Option<BilledRefund>,
}

/// What the row of a refund says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledRefund {
    /// WeChat's number of the refund (微信退款单号).
    pub refund_id: String,
    /// The merchant's number of the refund (商户退款单号).
    pub out_refund_no: String,
    /// What left the merchant's account, in whole fen (退款金额).
    pub refund_fen: i64,
    /// What was asked back, in whole fen: the figure to compare (申请退款金额).
    pub asked_fen: i64,
    /// `PROCESSING`, `SUCCESS`, `FAIL` or `CHANGE`: not the words of the API (退款状态).
    pub status: String,
}

/// The sums at the end of a bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillSummary {
    /// How many rows there are (总交易单数).
    pub count: u64,
    /// In whole fen (订单总金额).
    pub total_fen: i64,
    /// In whole fen (申请退款总金额).
    pub asked_refund_fen: Option<i64>,
    /// In hundred-thousandths of a yuan (手续费总金额).
    pub fee_e5_yuan: i64,
}

impl TradeBill {
    /// Reads a bill of [`BillKind::All`]; one of payments only is read too, and has no refunds.
    ///
    /// # Errors
    /// [`BillError`] with the line that makes no sense; line 1 is the header.
    pub fn parse(file: &[u8]) -> Result<Self, BillError> {
        let text = std::str::from_utf8(file).map_err(|_| BillError::NotText)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty());
        let (_, header) = lines.next().ok_or(BillError::NoSummary)?;
        let columns = Columns::of(header);
        let mut rows = Vec::new();
        loop {
            let (number, line) = lines.next().ok_or(BillError::NoSummary)?;
            if line.starts_with('`') {
                rows.push(columns.row(number, line)?);
                continue;
            }
            let sums = Columns::of(line);
            let (number, line) = lines.next().ok_or(BillError::NoSummary)?;
            let summary = sums.summary(number, line)?;
            if usize::try_from(summary.count) != Ok(rows.len()) {
                return Err(BillError::CountDiffers { told: summary.count, found: rows.len() });
            }
            return Ok(Self { rows, summary });
        }
    }
}

/// The names in one header line.
struct Columns<'a>(Vec<&'a str>);

impl<'a> Columns<'a> {
    fn of(header: &'a str) -> Self {
        Self(header.split(',').collect())
    }

    fn cells<'b>(&'b self, number: usize, line: &'b str) -> Result<Cells<'b>, BillError> {
        // WeChat escapes the commas inside a merchant's text, so that cells may be split by them.
        let cells: Vec<_> = line.split(',').collect();
        if cells.len() != self.0.len() {
            return Err(BillError::CellCount { line: number, found: cells.len(), columns: self.0.len() });
        }
        Ok(Cells { columns: &self.0, cells, line: number })
    }

    fn row(&self, number: usize, line: &str) -> Result<BillRow, BillError> {
        let cells = self.cells(number, line)?;
        Ok(BillRow {
            at: cells.moment("交易时间")?,
            appid: cells.text("公众账号ID")?,
            mchid: cells.text("商户号")?,
            transaction_id: cells.text("微信订单号")?,
            out_trade_no: cells.text("商户订单号")?,
            trade_type: cells.text("交易类型")?,
            trade_state: cells.text("交易状态")?,
            currency: cells.text("货币种类")?,
            total_fen: cells.fen("订单金额")?,
            settlement_fen: cells.fen("应结订单金额")?,
            attach: cells.text("商户数据包")?,
            fee_e5_yuan: cells.fee("手续费")?,
            refund: cells.refund()?,
        })
    }

    fn summary(&self, number: usize, line: &str) -> Result<BillSummary, BillError> {
        let cells = self.cells(number, line)?;
        Ok(BillSummary {
            count: cells.count("总交易单数")?,
            total_fen: cells.fen("订单总金额")?,
            asked_refund_fen: match cells.find("申请退款总金额") {
                Some(_) => Some(cells.fen("申请退款总金额")?),
                None => None,
            },
            fee_e5_yuan: cells.fee("手续费总金额")?,
        })
    }
}

/// The values in one line, by the names of their columns.
struct Cells<'a> {
    columns: &'a [&'a str],
    cells: Vec<&'a str>,
    line: usize,
}

impl<'a> Cells<'a> {
    fn find(&self, column: &'static str) -> Option<&'a str> {
        let at = self.columns.iter().position(|name| *name == column)?;
        let cell = self.cells[at];
        Some(cell.strip_prefix('`').unwrap_or(cell))
    }

    fn cell(&self, column: &'static str) -> Result<&'a str, BillError> {
        self.find(column).ok_or(BillError::NoColumn { line: self.line, column })
    }

    fn text(&self, column: &'static str) -> Result<String, BillError> {
        self.cell(column).map(str::to_owned)
    }

    fn fen(&self, column: &'static str) -> Result<i64, BillError> {
        self.number(column, 2)
    }

    fn fee(&self, column: &'static str) -> Result<i64, BillError> {
        self.number(column, 5)
    }

    /// WeChat writes the count like an amount: `45.0`.
    fn count(&self, column: &'static str) -> Result<u64, BillError> {
        let number = self.number(column, 0)?;
        u64::try_from(number).map_err(|_| self.odd(column))
    }

    fn number(&self, column: &'static str, decimals: usize) -> Result<i64, BillError> {
        scaled(self.cell(column)?, decimals).ok_or_else(|| self.odd(column))
    }

    fn moment(&self, column: &'static str) -> Result<i64, BillError> {
        let time = civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", self.cell(column)?)
            .ok()
            .and_then(|time| offset(8).to_timestamp(time).ok());
        time.map(|time| time.as_second()).ok_or_else(|| self.odd(column))
    }

    fn refund(&self) -> Result<Option<BilledRefund>, BillError> {
        // A payment's row has these columns too, and `0` in them.
        if self.find("微信退款单号").is_none_or(|id| id.is_empty() || id == "0") {
            return Ok(None);
        }
        Ok(Some(BilledRefund {
            refund_id: self.text("微信退款单号")?,
            out_refund_no: self.text("商户退款单号")?,
            refund_fen: self.fen("退款金额")?,
            asked_fen: self.fen("申请退款金额")?,
            status: self.text("退款状态")?,
        }))
    }

    fn odd(&self, column: &'static str) -> BillError {
        BillError::Odd { line: self.line, column }
    }
}

/// A decimal number times ten to the `decimals`, exactly: `None` for anything else, and for a
/// number with more decimals that are not zero.
fn scaled(text: &str, decimals: usize) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let (kept, rest) = fraction.split_at(decimals.min(fraction.len()));
    if rest.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let number: i64 = format!("{whole}{kept:0<decimals$}").parse().ok()?;
    Some(if negative { -number } else { number })
}

/// A bill that makes no sense. Contains no value of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    /// Not UTF-8.
    #[error("the bill is not text")]
    NotText,
    /// It ends before the sums; a download that was cut short looks like this.
    #[error("the bill ends without its summary")]
    NoSummary,
    /// A line with another number of cells than its header.
    #[error("line {line} has {found} cells for {columns} columns")]
    CellCount {
        /// Counted from 1.
        line: usize,
        /// How many the line has.
        found: usize,
        /// How many the header has.
        columns: usize,
    },
    /// A column that every bill has is missing.
    #[error("line {line} has no column {column}")]
    NoColumn {
        /// Counted from 1.
        line: usize,
        /// The name that was looked for.
        column: &'static str,
    },
    /// A value that is not what its column holds.
    #[error("line {line} has an odd {column}")]
    Odd {
        /// Counted from 1.
        line: usize,
        /// Its column.
        column: &'static str,
    },
    /// The summary counts other rows than there are.
    #[error("the bill has {found} rows and says that it has {told}")]
    CountDiffers {
        /// What the summary says.
        told: u64,
        /// What is there.
        found: usize,
    },
}
