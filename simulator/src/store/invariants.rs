//! What must be true of the book whatever happened: each rule looks for the rows that break it.

use sea_orm::DbErr;

use super::Store;

/// A rule in words, and the query that finds what breaks it, named in its one column `broken`.
struct Invariant {
    rule: &'static str,
    broken_by: &'static str,
}

const INVARIANTS: &[Invariant] = &[
    Invariant {
        rule: "a paid order has one payment entry, over its amount, under its transaction",
        broken_by: "SELECT 'order ' || out_trade_no AS broken FROM payment
            WHERE state IN ('SUCCESS', 'REFUND') AND 1 <> (
                SELECT count(*) FROM entry
                WHERE kind = 'payment' AND entry.mchid = payment.mchid
                    AND entry.out_trade_no = payment.out_trade_no AND reference = transaction_id
                    AND amount = payer_total AND at = paid_at)",
    },
    Invariant {
        rule: "an order has one payment at most",
        broken_by: "SELECT 'order ' || out_trade_no AS broken FROM entry WHERE kind = 'payment'
            GROUP BY mchid, out_trade_no HAVING count(*) > 1",
    },
    Invariant {
        rule: "an order that was not paid has neither money nor refunds",
        broken_by: "SELECT 'order ' || out_trade_no AS broken FROM payment
            WHERE state IN ('NOTPAY', 'CLOSED') AND (
                EXISTS (SELECT 1 FROM entry WHERE entry.mchid = payment.mchid
                    AND entry.out_trade_no = payment.out_trade_no)
                OR EXISTS (SELECT 1 FROM refund WHERE refund.mchid = payment.mchid
                    AND refund.out_trade_no = payment.out_trade_no))",
    },
    Invariant {
        rule: "the payer paid what was ordered",
        broken_by: "SELECT 'order ' || out_trade_no AS broken FROM payment WHERE payer_total <> total",
    },
    Invariant {
        rule: "an order is in state REFUND exactly when a refund was accepted",
        broken_by: "SELECT 'order ' || out_trade_no AS broken FROM payment
            WHERE (state = 'REFUND') <> EXISTS (SELECT 1 FROM refund WHERE refund.mchid = payment.mchid
                AND refund.out_trade_no = payment.out_trade_no)",
    },
    Invariant {
        rule: "the refunds of an order are not more than its payment",
        broken_by: "SELECT 'order ' || out_trade_no AS broken FROM payment
            JOIN refund USING (mchid, out_trade_no) WHERE refund.state <> 'CLOSED'
            GROUP BY mchid, out_trade_no HAVING sum(amount) > max(coalesce(payer_total, 0))",
    },
    Invariant {
        rule: "an order has fifty refunds at most",
        broken_by: "SELECT 'order ' || out_trade_no AS broken FROM refund WHERE state <> 'CLOSED'
            GROUP BY mchid, out_trade_no HAVING count(*) > 50",
    },
    Invariant {
        rule: "a refund is accepted after the payment and settled after that",
        broken_by: "SELECT 'refund ' || out_refund_no AS broken FROM refund
            JOIN payment USING (mchid, out_trade_no)
            WHERE refund.created_at < paid_at OR settled_at < refund.created_at",
    },
    Invariant {
        rule: "a refund took its amount once, and gave it back once if it was closed",
        broken_by: "SELECT 'refund ' || out_refund_no AS broken FROM refund
            WHERE (SELECT coalesce(sum(amount), 0) FROM entry
                    WHERE kind = 'refund' AND reference = refund_id) <> -amount
                OR (SELECT coalesce(sum(amount), 0) FROM entry
                    WHERE kind = 'refund_returned' AND reference = refund_id)
                    <> CASE state WHEN 'CLOSED' THEN amount ELSE 0 END",
    },
    Invariant {
        rule: "every entry has its cause",
        broken_by: "SELECT 'entry ' || id AS broken FROM entry
            WHERE kind = 'payment' AND NOT EXISTS (SELECT 1 FROM payment
                    WHERE payment.mchid = entry.mchid AND transaction_id = reference)
                OR kind IN ('refund', 'refund_returned') AND NOT EXISTS (SELECT 1 FROM refund
                    WHERE refund.mchid = entry.mchid AND refund_id = reference)",
    },
    Invariant {
        rule: "a balance is the sum of the entries so far, and never negative",
        broken_by: "SELECT 'entry ' || id AS broken FROM (
                SELECT id, balance, sum(amount) OVER (PARTITION BY mchid ORDER BY id) AS so_far FROM entry)
            WHERE balance <> so_far OR balance < 0",
    },
    Invariant {
        rule: "nothing is told before it is true",
        broken_by: "SELECT 'notification ' || id AS broken FROM notification
            LEFT JOIN payment USING (mchid, out_trade_no)
            LEFT JOIN refund USING (mchid, out_refund_no)
            WHERE coalesce(notification.created_at < CASE
                WHEN out_refund_no IS NULL THEN paid_at
                WHEN event = 'REFUND.ABNORMAL' AND refund.state <> 'ABNORMAL' THEN refund.created_at
                ELSE settled_at END, 1)",
    },
    Invariant {
        rule: "a payment is told by one notification",
        broken_by: "SELECT 'order ' || out_trade_no AS broken FROM payment
            WHERE (state IN ('SUCCESS', 'REFUND')) <> (SELECT count(*) FROM notification
                WHERE notification.mchid = payment.mchid
                    AND notification.out_trade_no = payment.out_trade_no AND out_refund_no IS NULL)",
    },
];

impl Store {
    /// What is broken, in words; nothing, when the book is right.
    pub(crate) async fn violations(&self) -> Result<Vec<String>, DbErr> {
        let mut violations = Vec::new();
        for Invariant { rule, broken_by } in INVARIANTS {
            for row in self.all(broken_by, []).await? {
                let broken: String = row.try_get("", "broken")?;
                violations.push(format!("{broken}: {rule}"));
            }
        }
        Ok(violations)
    }
}

#[cfg(test)]
mod tests;
