//! A sensible shop and its payers: what is not answered is sent again, and nothing is given up.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::patient::{Patient, text};
use tokio::time::{Instant, sleep};

use super::{
    layout::{API_KEY, Layout},
    plan::{Course, Purchase},
};

/// Nobody is away for so long.
const PATIENCE: Duration = Duration::from_secs(300);
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// As the answer says (`Retry-After`).
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Then the payer taps again.
const LOOKS: usize = 10;
/// How often a page asks.
const ASK_EVERY: Duration = Duration::from_secs(3);

/// An order whose creation was answered, with what was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    pub number: String,
    pub id: String,
    pub total: i64,
    /// What of it was to go back, as far as that was answered.
    pub gives_back: Option<i64>,
}

#[derive(Clone)]
pub struct Shop {
    patient: Patient,
    api_url: String,
    simulator_url: String,
    native_app: String,
    mini_program: String,
}

impl Shop {
    pub fn of(layout: &Layout) -> Arc<Self> {
        Arc::new(Self {
            patient: Patient {
                http: layout.http.clone(),
                api_key: API_KEY,
                patience: PATIENCE,
                again_after: AGAIN_AFTER,
            },
            api_url: layout.api_url(),
            simulator_url: layout.simulator_url.clone(),
            native_app: layout.native_app.clone(),
            mini_program: layout.mini_program.clone(),
        })
    }

    /// Leads an order through its course.
    pub async fn sell(&self, purchase: &Purchase) -> anyhow::Result<Answered> {
        self.try_to_sell(purchase).await.with_context(|| format!("selling {}", purchase.number))
    }

    async fn try_to_sell(&self, purchase: &Purchase) -> anyhow::Result<Answered> {
        let Purchase { number, total, native, course, gives_back, .. } = purchase;
        let order = json!({
            "merchant_order_no": number,
            "description": "明前龙井",
            "amount": { "total": total, "currency": "CNY" },
        });
        let (status, said) = self.ask(Method::POST, "/v1/orders", Some(&order)).await?;
        ensure!(matches!(status.as_u16(), 200 | 201), "placing the order: {status} {said}");
        let id = text(&said["order"]["id"])?;
        let mut answered =
            Answered { number: number.clone(), id: id.clone(), total: *total, gives_back: None };

        let Some(mut payment) = self.open(&id, *native).await? else { return Ok(answered) };
        match course {
            Course::Pays(after) | Course::PaysAndAsks(after) => {
                sleep(Duration::from_millis(*after)).await;
                self.pay(&payment).await?;
            }
            Course::ComesBack => {
                self.leave(&payment).await?;
                let Some(again) = self.open(&id, *native).await? else { return Ok(answered) };
                self.pay(&again).await?;
            }
            Course::ChangesWay => {
                let Some(other) = self.open(&id, !native).await? else { return Ok(answered) };
                payment = other;
                self.pay(&payment).await?;
            }
            Course::Leaves => {
                self.leave(&payment).await?;
                self.close(&id).await?;
            }
            Course::Races => {
                let (closed, paid) = tokio::join!(self.close(&id), self.pay(&payment));
                closed?;
                paid?;
            }
        }
        // Who wants it back has looked whether it is paid.
        if matches!(course, Course::PaysAndAsks(_)) || gives_back.is_some() {
            self.ask_until_paid(&id, &text(&payment["id"])?).await?;
        }
        if let Some(part) = gives_back {
            let asked = json!({
                "merchant_refund_no": format!("BACK-{number}"),
                "amount": { "total": part, "currency": "CNY" },
            });
            let (status, said) =
                self.ask(Method::POST, &format!("/v1/orders/{id}/refunds"), Some(&asked)).await?;
            ensure!(matches!(status.as_u16(), 200 | 201), "asking for a refund: {status} {said}");
            answered.gives_back = Some(*part);
        }
        Ok(answered)
    }

    /// Opens a payment and waits until it can be paid; none if it was paid meanwhile.
    async fn open(&self, order: &str, native: bool) -> anyhow::Result<Option<Value>> {
        let asked = match native {
            true => json!({ "method": "native", "app_id": self.native_app }),
            false => {
                json!({ "method": "mini_program", "app_id": self.mini_program, "openid": "oUNDERFIREPAYER" })
            }
        };
        let path = format!("/v1/orders/{order}/payments");
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let (status, said) = self.ask(Method::POST, &path, Some(&asked)).await?;
            let payment = &said["payment"];
            match (status.as_u16(), said["code"].as_str(), payment["status"].as_str()) {
                (200, _, Some("awaiting_payment")) => return Ok(Some(payment.clone())),
                (200, _, Some("succeeded")) | (409, Some("order_paid"), _) => return Ok(None),
                (202, ..) => {
                    if let Some(ready) = self.follow(&text(&payment["id"])?).await? {
                        return Ok(Some(ready));
                    }
                }
                // Closed: it waited for the one before it, which was paid.
                (200, _, Some("closed")) | (409, Some("payment_in_progress"), _) => {
                    sleep(LOOK_EVERY).await;
                }
                _ => bail!("opening a payment: {status} {said}"),
            }
        }
        bail!("there was no payment in {PATIENCE:?}")
    }

    /// Looks at a payment that takes longer than a page waits, as the answer says (`Location`); none if it
    /// is time to tap again.
    async fn follow(&self, payment: &str) -> anyhow::Result<Option<Value>> {
        for _ in 0..LOOKS {
            sleep(LOOK_EVERY).await;
            let (status, said) = self.ask(Method::GET, &format!("/v1/payments/{payment}"), None).await?;
            ensure!(status == StatusCode::OK, "reading the payment: {status} {said}");
            match said["payment"]["status"].as_str() {
                Some("awaiting_payment") => return Ok(Some(said["payment"].clone())),
                Some("queued" | "created" | "unknown") => {}
                _ => break,
            }
        }
        Ok(None)
    }

    async fn pay(&self, payment: &Value) -> anyhow::Result<()> {
        let number = text(&payment["out_trade_no"])?;
        let (status, said) = self.control(Method::POST, &format!("payments/{number}/pay"), None).await?;
        // 409: paid before its create was answered, or closed by the shop meanwhile.
        ensure!(status.is_success() || status == StatusCode::CONFLICT, "paying: {status} {said}");
        Ok(())
    }

    async fn leave(&self, payment: &Value) -> anyhow::Result<()> {
        let number = text(&payment["out_trade_no"])?;
        let (status, said) = self.control(Method::POST, &format!("payments/{number}/cancel"), None).await?;
        ensure!(status.is_success() || status == StatusCode::CONFLICT, "leaving: {status} {said}");
        Ok(())
    }

    async fn close(&self, order: &str) -> anyhow::Result<()> {
        let (status, said) =
            self.ask(Method::POST, &format!("/v1/orders/{order}/close"), Some(&json!({}))).await?;
        // 409: it is paid.
        ensure!(matches!(status.as_u16(), 200 | 202 | 409), "closing the order: {status} {said}");
        Ok(())
    }

    async fn ask_until_paid(&self, order: &str, payment: &str) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            self.confirm(payment).await?;
            if self.status(order).await? != "pending" {
                return Ok(());
            }
            sleep(ASK_EVERY).await;
        }
        bail!("the page waited for {PATIENCE:?}")
    }

    /// Has WeChat Pay asked about a payment.
    pub async fn confirm(&self, payment: &str) -> anyhow::Result<()> {
        let (status, said) = self.ask(Method::POST, &format!("/v1/payments/{payment}/confirm"), None).await?;
        ensure!(status == StatusCode::OK, "having WeChat Pay asked: {status} {said}");
        Ok(())
    }

    async fn status(&self, order: &str) -> anyhow::Result<String> {
        let (status, said) = self.ask(Method::GET, &format!("/v1/orders/{order}"), None).await?;
        ensure!(status == StatusCode::OK, "reading the order: {status} {said}");
        text(&said["order"]["status"])
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        self.patient.ask(method, &format!("{}{path}", self.api_url), body).await
    }

    /// One of the simulator's controls.
    pub async fn control(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        self.patient.ask(method, &format!("{}/_sim/{path}", self.simulator_url), body).await
    }
}
