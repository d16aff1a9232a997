//! `everpaid explain`: why an order is where it is.

use anyhow::ensure;
use api::explain::{Dated, Dossier, Explanation, Sentence};
use clap::ValueEnum;

use super::Which;

#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    which: Which,
    /// The order's id, the shop's number of it, or WeChat Pay's number of one of its payments or
    /// refunds (out_trade_no, transaction_id, out_refund_no).
    number: String,
    /// In which language.
    #[arg(long, value_enum, default_value_t = Language::En)]
    lang: Language,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Language {
    Zh,
    En,
}

pub(crate) async fn run(Explain { which, number, lang }: Explain) -> anyhow::Result<()> {
    let db = which.open().await?;
    let orders = Dossier::find(db.reader(), &number).await?;
    ensure!(!orders.is_empty(), "no order, payment or refund has the number {number}");
    let now = db.now().await?;
    for order in orders {
        println!("{}  {}  {}", order.id, order.merchant, order.merchant_order_no);
        let dossier = Dossier::read(db.reader(), order).await?;
        print!("{}", lang.tell(&dossier.explain(now)));
    }
    Ok(())
}

impl Language {
    fn tell(self, explanation: &Explanation) -> String {
        let (known, next) = match self {
            Self::Zh => ("已知：", "接下来："),
            Self::En => ("What is known:", "What happens next:"),
        };
        let mut text = String::new();
        for sentence in &explanation.why {
            text += &format!("  {}\n", self.of(sentence));
        }
        for (heading, lines) in [(known, &explanation.known), (next, &explanation.next)] {
            if !lines.is_empty() {
                text += &format!("\n{heading}\n");
            }
            for Dated { at, says } in lines {
                text += &format!("  {at}  {}\n", self.of(says));
            }
        }
        text + "\n"
    }

    fn of(self, sentence: &Sentence) -> &str {
        match self {
            Self::Zh => &sentence.zh,
            Self::En => &sentence.en,
        }
    }
}
