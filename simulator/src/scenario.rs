//! Named troubles: each is a few faults that belong together, with the share of the occasions that
//! each of them strikes.
//!
//! Scenarios can be combined. Each has luck of its own, from its own seed: the same seed lets the
//! same things go wrong for the same orders, whatever else runs and however requests interleave.

use serde::Serialize;
use tracing::info;

use crate::{
    chance::Chance,
    faults::{
        Fault,
        FaultKind::{
            self, Accepted202, Accepted429, BillLate, BillShort, ClockSkew, CutAfter, CutBefore, Delay, Down,
            Duplicate, Empty, Html, NoAnswer, NoAssociatedData, NotFound, PayBeforeAnswer, PayWhileClosing,
            ProbeSignature, RefundAbnormal, RefundClosed, Refused, Reorder, Repeat, Silent, Slow, SlowBefore,
            Status429, Status500, Status502, Status503, Unheard, UnknownEvent, UnknownNumber, WrongAmount,
            WrongAppid, WrongCurrency, WrongMchid, WrongSignature,
        },
        Target,
    },
    payer::ControlError,
    wechat::Wechat,
};

/// A trouble with a name.
pub struct Scenario {
    pub name: &'static str,
    /// What happens, in a line of English.
    pub en: &'static str,
    /// The same in Chinese.
    pub zh: &'static str,
    faults: fn() -> Vec<Fault>,
}

/// A scenario as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScenarioStatus {
    pub name: &'static str,
    pub description: Description,
    pub faults: Vec<Fault>,
    pub is_running: bool,
    /// What its luck is drawn from while it runs.
    pub seed: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    pub en: &'static str,
    pub zh: &'static str,
}

/// Every scenario, from the notifications over the answers to the whole.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "lost-notifications",
        en: "three notifications in ten are never sent",
        zh: "十条回调通知有三条从不发送",
        faults: || vec![some(Silent, 0.3)],
    },
    Scenario {
        name: "late-notifications",
        en: "half of the notifications come 40 seconds late",
        zh: "一半的回调通知迟到40秒",
        faults: || vec![some(Delay, 0.5).delay_ms(40_000)],
    },
    Scenario {
        name: "duplicate-notifications",
        en: "notifications come twice at once, twice in a row, or again although they were taken",
        zh: "回调通知并发重复、连续重复，或应答后再次发送",
        faults: || vec![some(Duplicate, 0.25), some(Repeat, 0.25), some(Unheard, 0.25)],
    },
    Scenario {
        name: "reordered-notifications",
        en: "four notifications in ten are overtaken by the next one",
        zh: "十条回调通知有四条被后一条超过",
        faults: || vec![some(Reorder, 0.4).delay_ms(60_000)],
    },
    Scenario {
        name: "lying-notifications",
        en: "notifications with a wrong signature, amount, app, merchant, currency or number",
        zh: "回调通知的签名、金额、应用、商户、币种或订单号有误",
        faults: || {
            [WrongSignature, WrongAmount, WrongAppid, WrongMchid, WrongCurrency, UnknownNumber]
                .map(|kind| some(kind, 0.05).on(Target::Notify))
                .into()
        },
    },
    Scenario {
        name: "strange-notifications",
        en: "events that nobody knows come first, and associated_data is empty",
        zh: "先收到未知事件类型，或associated_data为空",
        faults: || vec![some(UnknownEvent, 0.25), some(NoAssociatedData, 0.25)],
    },
    Scenario {
        name: "flaky-network",
        en: "connections break before or after the call took effect, or are slow",
        zh: "连接在生效前或生效后断开，或变慢",
        faults: || vec![some(CutBefore, 0.1), some(CutAfter, 0.1), some(SlowBefore, 0.1).delay_ms(800)],
    },
    Scenario {
        name: "slow",
        en: "half of the answers take two seconds, before or after the effect",
        zh: "一半的应答耗时两秒",
        faults: || vec![some(SlowBefore, 0.25).delay_ms(2000), some(Slow, 0.33).delay_ms(2000)],
    },
    Scenario {
        name: "overloaded",
        en: "calls are refused with 429, 500, 502 and 503, or put off with 202",
        zh: "调用返回429、500、502、503，或202未处理",
        faults: || {
            vec![
                some(Status429, 0.15),
                some(Status500, 0.1),
                some(Status502, 0.05),
                some(Status503, 0.1),
                some(Accepted202, 0.05),
            ]
        },
    },
    Scenario {
        name: "lying-answers",
        en: "answers with a wrong signature, without a body, or with a page of HTML",
        zh: "应答签名错误、应答为空，或返回HTML页面",
        faults: || [WrongSignature, Empty, Html].map(|kind| some(kind, 0.1).on(Target::Answer)).into(),
    },
    Scenario {
        name: "lost-answers",
        en: "the call succeeds and its answer is lost",
        zh: "调用成功，但应答丢失",
        faults: || vec![some(CutAfter, 0.2), some(NoAnswer, 0.1)],
    },
    Scenario {
        name: "not-found-then-found",
        en: "half of the orders are denied by their first two queries",
        zh: "一半的订单前两次查询返回不存在",
        faults: || vec![some(NotFound, 0.5).each(2)],
    },
    Scenario {
        name: "outage",
        en: "WeChat Pay drops every connection, until this is stopped",
        zh: "微信支付断开所有连接，直到停止本场景",
        faults: || vec![Fault::new(Down)],
    },
    Scenario {
        name: "refused-connections",
        en: "nobody listens for ten seconds, also not for these controls",
        zh: "十秒内拒绝所有连接（包括本控制接口）",
        faults: || vec![Fault::new(Refused).delay_ms(10_000)],
    },
    Scenario {
        name: "probes",
        en: "a fifth of answers and notifications carries a probe signature that must be refused",
        zh: "五分之一的应答与回调带有签名探测，必须验签失败",
        faults: || vec![some(ProbeSignature, 0.2)],
    },
    Scenario {
        name: "clock-skew",
        en: "answers and notifications are dated ten minutes ahead or behind",
        zh: "应答与回调的时间戳快或慢十分钟",
        faults: || vec![some(ClockSkew, 0.1).skew_seconds(600), some(ClockSkew, 0.1).skew_seconds(-600)],
    },
    Scenario {
        name: "fast-payer",
        en: "three orders in ten are paid and told before the create is answered",
        zh: "十个订单有三个在下单应答之前已支付并通知",
        faults: || vec![some(PayBeforeAnswer, 0.3)],
    },
    Scenario {
        name: "paid-while-closing",
        en: "whoever closes an unpaid order finds it paid in that moment",
        zh: "关单的同时用户完成支付",
        faults: || vec![Fault::new(PayWhileClosing)],
    },
    Scenario {
        name: "troubled-refunds",
        en: "refunds are accepted with 429, or end ABNORMAL or CLOSED",
        zh: "退款已受理却返回429，或最终异常、关闭",
        faults: || vec![some(Accepted429, 0.2), some(RefundAbnormal, 0.2), some(RefundClosed, 0.2)],
    },
    Scenario {
        name: "late-bill",
        en: "a bill is still in the making the first three times it is asked for",
        zh: "账单前三次申请时仍在生成中",
        faults: || vec![Fault::new(BillLate).each(3)],
    },
    Scenario {
        name: "short-bill",
        en: "bills lack their last row",
        zh: "账单缺少最后一行",
        faults: || vec![Fault::new(BillShort)],
    },
    Scenario {
        name: "bad-day",
        en: "a little of nearly everything at once",
        zh: "各种问题同时少量出现",
        faults: || {
            let mut all: Vec<_> = [
                Status429,
                Status500,
                Status502,
                Status503,
                Accepted202,
                Html,
                Empty,
                CutBefore,
                CutAfter,
                NoAnswer,
                PayBeforeAnswer,
                PayWhileClosing,
                WrongSignature,
                ProbeSignature,
                Accepted429,
                RefundAbnormal,
                RefundClosed,
            ]
            .map(|kind| some(kind, 0.03))
            .into();
            all.extend([Silent, Duplicate, Repeat, Unheard, UnknownEvent].map(|kind| some(kind, 0.08)));
            all.push(some(SlowBefore, 0.03).delay_ms(2000));
            all.push(some(ClockSkew, 0.03).skew_seconds(-600));
            all.push(some(NotFound, 0.1).each(2));
            all.push(Fault::new(BillLate).each(2));
            all.push(some(Delay, 0.08).delay_ms(40_000));
            all.push(some(Reorder, 0.08).delay_ms(60_000));
            all
        },
    },
];

fn some(kind: FaultKind, share: f64) -> Fault {
    Fault::new(kind).share(share)
}

impl Scenario {
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// What goes wrong in it.
    pub fn faults(&self) -> Vec<Fault> {
        (self.faults)()
    }
}

impl Wechat {
    pub(crate) fn scenarios(&self) -> Vec<ScenarioStatus> {
        let status = |scenario: &Scenario| {
            let seed = self.faults.seed_of(scenario.name);
            ScenarioStatus {
                name: scenario.name,
                description: Description { en: scenario.en, zh: scenario.zh },
                faults: scenario.faults(),
                is_running: seed.is_some(),
                seed,
            }
        };
        SCENARIOS.iter().map(status).collect()
    }

    /// Starts it beside whatever runs; without a seed its luck is drawn from the simulator's.
    pub(crate) fn start_scenario(&self, name: &str, seed: Option<u64>) -> Result<u64, ControlError> {
        let scenario = Scenario::named(name).ok_or_else(|| unknown(name))?;
        let seed = seed.unwrap_or_else(|| self.chance.seed());
        if self.faults.add_scenario(scenario.name, scenario.faults(), Chance::new(seed)) {
            info!(scenario = name, seed, "a scenario starts");
            Ok(seed)
        } else {
            Err(ControlError::Refused(format!("{name} is running already")))
        }
    }

    pub(crate) fn stop_scenario(&self, name: &str) -> Result<(), ControlError> {
        let scenario = Scenario::named(name).ok_or_else(|| unknown(name))?;
        if self.faults.remove_scenario(scenario.name) {
            Ok(())
        } else {
            Err(ControlError::NotFound(format!("{name} is not running")))
        }
    }
}

fn unknown(name: &str) -> ControlError {
    ControlError::NotFound(format!("no scenario {name}"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::faults::Faults;

    #[test]
    fn every_scenario_has_a_name_of_its_own_words_and_possible_faults() {
        let names: HashSet<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
        for scenario in SCENARIOS {
            assert!(scenario.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", scenario.name);
            assert!(scenario.en.is_ascii() && !scenario.zh.is_ascii(), "{}", scenario.name);
            assert!(!scenario.faults().is_empty(), "{}", scenario.name);
            for fault in scenario.faults() {
                assert_eq!(Faults::default().add(fault.clone()), Ok(1), "{}: {fault:?}", scenario.name);
            }
        }
    }

    #[test]
    fn the_readme_has_every_scenario() {
        let readme = include_str!("../README.md");
        for scenario in SCENARIOS {
            let line = format!("| `{}` | {} |", scenario.name, scenario.en);
            assert!(readme.contains(&line), "README.md lacks: {line}");
        }
    }
}
