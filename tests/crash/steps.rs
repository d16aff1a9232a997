//! Every named step of the product, and how a process is brought to die there.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

/// A step, and what it takes to get there.
#[derive(Debug)]
pub struct Step {
    pub name: &'static str,
    /// One value of `FAILPOINTS` for each process that dies; the last one at the step itself.
    pub lives: &'static [&'static str],
    pub weather: Weather,
}

/// What else goes wrong meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Clear,
    /// WeChat Pay tells nothing: every payment has to be asked about.
    Silence,
    /// As before, and the first questions are not answered.
    SilenceAndTrouble,
    /// As before, and the first questions are answered with "no such payment".
    SilenceAndDenial,
    /// WeChat Pay does not take the first creates.
    CreatesNotTaken,
    /// In mini-programs the first payment is with an app that WeChat Pay does not know.
    UnknownApp,
    /// The first payment is paid before its create is answered, and nobody is told.
    PaidUnheard,
    /// WeChat Pay tells of a payment that is not ours, once.
    StrangeNumber,
    /// Nothing, and the shop gives a part of every paid order back.
    Refunds,
    /// As before, and WeChat Pay does not take the first refunds.
    RefundsNotTaken,
    /// The shop gives back, and WeChat Pay tells nothing: every refund has to be asked about.
    RefundsInSilence,
    /// As before, and the first questions are not answered.
    RefundsInSilenceAndTrouble,
    /// Nothing, and the shop ships what was bought in a mini-program.
    Ships,
    /// As before, and WeChat does not look at the first it is told of shipping.
    ShipsInTrouble,
}

/// In the order in which an order meets them.
pub const STEPS: [Step; 54] = [
    step("create_order.placed", &["create_order.placed=1*off->return"], Weather::Clear),
    step("create_order.committed", &["create_order.committed=1*off->return"], Weather::Clear),
    step("create_payment.opened", &["create_payment.opened=1*off->return"], Weather::Clear),
    step("create_payment.committed", &["create_payment.committed=1*off->return"], Weather::Clear),
    // Both lanes look at once and five times a second: the seventh look is amid the first orders.
    step("pump.scanned", &["pump.scanned=6*off->return"], Weather::Clear),
    step("pump.offered", &["pump.offered=1*off->return"], Weather::Clear),
    step("sweep_overdue.found", &["sweep_overdue.found=return"], Weather::Clear),
    step("job.claimed", &["job.claimed=1*off->return"], Weather::Clear),
    step("job.finished", &["job.finished=1*off->return"], Weather::Clear),
    step("request_prepay.loaded", &["request_prepay.loaded=1*off->return"], Weather::Clear),
    step("request_prepay.asked", &["request_prepay.asked=1*off->return"], Weather::Clear),
    step("request_prepay.applied", &["request_prepay.applied=1*off->return"], Weather::Clear),
    step("request_prepay.lost", &["request_prepay.lost=1*off->return"], Weather::CreatesNotTaken),
    step("request_prepay.refused", &["request_prepay.refused=1*off->return"], Weather::UnknownApp),
    step(
        "request_prepay.doubted",
        // Only a create whose answer nobody got makes the next answer doubtful.
        &["request_prepay.asked=return", "request_prepay.doubted=return"],
        Weather::PaidUnheard,
    ),
    step("intake.inserted", &["intake.inserted=1*off->return"], Weather::Clear),
    step("intake.committed", &["intake.committed=1*off->return"], Weather::Clear),
    step("apply_notification.loaded", &["apply_notification.loaded=1*off->return"], Weather::Clear),
    step("apply_notification.applied", &["apply_notification.applied=1*off->return"], Weather::Clear),
    step("apply_notification.settled", &["apply_notification.settled=return"], Weather::StrangeNumber),
    // The last purchase is not paid, and the shop closes it.
    step("close_order.asked", &["close_order.asked=return"], Weather::Clear),
    step("close_order.closing", &["close_order.closing=return"], Weather::Clear),
    step("close_payment.begun", &["close_payment.begun=return"], Weather::Clear),
    step("close_payment.closed", &["close_payment.closed=return"], Weather::Clear),
    step("close_payment.applied", &["close_payment.applied=return"], Weather::Clear),
    step("close_order.closed", &["close_order.closed=return"], Weather::Clear),
    step("confirm_payment.loaded", &["confirm_payment.loaded=1*off->return"], Weather::Silence),
    step("confirm_payment.asked", &["confirm_payment.asked=1*off->return"], Weather::Silence),
    step("confirm_payment.applied", &["confirm_payment.applied=1*off->return"], Weather::Silence),
    step("confirm_payment.not_told", &["confirm_payment.not_told=return"], Weather::SilenceAndTrouble),
    step("confirm_payment.not_found", &["confirm_payment.not_found=return"], Weather::SilenceAndDenial),
    // The shop is told of every order that is paid or closed.
    step("push_status.moved", &["push_status.moved=1*off->return"], Weather::Clear),
    step("push_status.told", &["push_status.told=1*off->return"], Weather::Clear),
    step("deliver_webhook.loaded", &["deliver_webhook.loaded=1*off->return"], Weather::Clear),
    step("deliver_webhook.asked", &["deliver_webhook.asked=1*off->return"], Weather::Clear),
    step("deliver_webhook.applied", &["deliver_webhook.applied=1*off->return"], Weather::Clear),
    step("create_refund.asked", &["create_refund.asked=1*off->return"], Weather::Refunds),
    step("create_refund.committed", &["create_refund.committed=1*off->return"], Weather::Refunds),
    step("request_refund.loaded", &["request_refund.loaded=1*off->return"], Weather::Refunds),
    step("request_refund.begun", &["request_refund.begun=1*off->return"], Weather::Refunds),
    step("request_refund.asked", &["request_refund.asked=1*off->return"], Weather::Refunds),
    step("request_refund.applied", &["request_refund.applied=1*off->return"], Weather::Refunds),
    step("request_refund.lost", &["request_refund.lost=1*off->return"], Weather::RefundsNotTaken),
    step("request_refund.questioned", &["request_refund.questioned=return"], Weather::RefundsNotTaken),
    // WeChat Pay is first asked a minute after it took the refund.
    step("confirm_refund.asked", &["confirm_refund.asked=1*off->return"], Weather::RefundsInSilence),
    step("confirm_refund.applied", &["confirm_refund.applied=1*off->return"], Weather::RefundsInSilence),
    step("confirm_refund.not_told", &["confirm_refund.not_told=return"], Weather::RefundsInSilenceAndTrouble),
    step("ship_order.asked", &["ship_order.asked=return"], Weather::Ships),
    step("ship_order.committed", &["ship_order.committed=return"], Weather::Ships),
    step("upload_shipping.loaded", &["upload_shipping.loaded=return"], Weather::Ships),
    step("upload_shipping.begun", &["upload_shipping.begun=return"], Weather::Ships),
    step("upload_shipping.asked", &["upload_shipping.asked=return"], Weather::Ships),
    step("upload_shipping.applied", &["upload_shipping.applied=return"], Weather::Ships),
    step("upload_shipping.lost", &["upload_shipping.lost=return"], Weather::ShipsInTrouble),
];

const fn step(name: &'static str, lives: &'static [&'static str], weather: Weather) -> Step {
    Step { name, lives, weather }
}

impl Weather {
    /// The faults that the simulator is given.
    pub fn faults(self) -> Vec<Value> {
        let silence = json!({ "kind": "silent", "on": "notify" });
        match self {
            Self::Clear | Self::UnknownApp | Self::Refunds | Self::Ships => vec![],
            Self::ShipsInTrouble => vec![json!({ "kind": "system_busy", "on": "shipping", "times": 2 })],
            Self::Silence | Self::RefundsInSilence => vec![silence],
            Self::SilenceAndTrouble => {
                vec![silence, json!({ "kind": "status_503", "on": "query", "times": 2 })]
            }
            Self::SilenceAndDenial => {
                vec![silence, json!({ "kind": "not_found", "on": "query", "times": 2 })]
            }
            Self::CreatesNotTaken => vec![json!({ "kind": "status_503", "on": "create", "times": 3 })],
            // Asking must not find the payment before the create is repeated, which on Postgres takes a lease.
            Self::PaidUnheard => vec![
                silence,
                json!({ "kind": "pay_before_answer", "on": "create", "times": 1 }),
                json!({ "kind": "not_found", "on": "query" }),
            ],
            Self::StrangeNumber => vec![json!({ "kind": "unknown_number", "on": "notify", "times": 1 })],
            Self::RefundsNotTaken => vec![json!({ "kind": "status_503", "on": "refund", "times": 3 })],
            Self::RefundsInSilenceAndTrouble => {
                vec![silence, json!({ "kind": "status_503", "on": "refund_query", "times": 2 })]
            }
        }
    }

    /// Does the shop give a part of what it sold back?
    pub fn gives_back(self) -> bool {
        match self {
            Self::Refunds
            | Self::RefundsNotTaken
            | Self::RefundsInSilence
            | Self::RefundsInSilenceAndTrouble => true,
            Self::Clear
            | Self::Silence
            | Self::SilenceAndTrouble
            | Self::SilenceAndDenial
            | Self::CreatesNotTaken
            | Self::UnknownApp
            | Self::PaidUnheard
            | Self::StrangeNumber
            | Self::Ships
            | Self::ShipsInTrouble => false,
        }
    }

    /// Does the shop say how what it sold is shipped?
    pub fn ships(self) -> bool {
        matches!(self, Self::Ships | Self::ShipsInTrouble)
    }

    /// Is nobody told when a payer has paid?
    pub fn is_silent(self) -> bool {
        match self {
            Self::Silence
            | Self::SilenceAndTrouble
            | Self::SilenceAndDenial
            | Self::PaidUnheard
            | Self::RefundsInSilence
            | Self::RefundsInSilenceAndTrouble => true,
            Self::Clear
            | Self::CreatesNotTaken
            | Self::UnknownApp
            | Self::StrangeNumber
            | Self::Refunds
            | Self::RefundsNotTaken
            | Self::Ships
            | Self::ShipsInTrouble => false,
        }
    }
}

#[test]
fn the_table_has_every_step_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut named = Vec::new();
    for sources in ["api/src", "worker/src", "jobs/src", "entity/src", "wechatpay/src", "cli/src"] {
        collect(&root.join(sources), &mut named);
    }
    named.sort_unstable();
    let unique: BTreeSet<String> = named.iter().cloned().collect();
    assert_eq!(named.len(), unique.len(), "a step is named twice: {named:?}");
    let listed: BTreeSet<String> = STEPS.iter().map(|step| step.name.to_owned()).collect();
    assert_eq!(unique, listed, "left: named in the code; right: in the table");
    for step in &STEPS {
        let last = step.lives.last().unwrap();
        assert!(last.starts_with(&format!("{}=", step.name)), "{} ends with {last}", step.name);
    }
}

fn collect(folder: &Path, named: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, named);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let names = source.split("crash_point!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            named.extend(names.map(str::to_owned));
        }
    }
}
