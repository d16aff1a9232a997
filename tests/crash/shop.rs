//! A sensible shop, and its payers: it repeats what was not answered, and gives up nothing.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::patient::{Patient, text};
use tokio::time::{Instant, sleep};

use crate::{
    oracle::Answered,
    processes::{API_KEY, UNKNOWN_APP, World},
    steps::Weather,
};

/// A job whose process died on Postgres runs again when its lease of 30 s is over, and it may die
/// with more than one process.
const PATIENCE: Duration = Duration::from_secs(180);
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How long the shop waits for a notification before it has WeChat Pay asked.
const ASK_AFTER: Duration = Duration::from_secs(2);

/// One purchase to be.
#[derive(Clone, Debug)]
pub struct Purchase {
    pub number: String,
    pub total: i64,
    pub native: bool,
    pub pays: bool,
    /// How much of it the shop gives back.
    pub gives_back: Option<i64>,
}

impl Purchase {
    /// The nth purchase: native and in a mini-program by turns, each with an amount of its own.
    pub fn nth(n: u32, pays: bool) -> Self {
        Self {
            number: format!("CRASH-{n:04}"),
            total: 100 + i64::from(n),
            native: n.is_multiple_of(2),
            pays,
            gives_back: None,
        }
    }

    /// The same, and the shop gives a part of it back, or every third all of it.
    pub fn given_back(self, n: u32) -> Self {
        let part = if n.is_multiple_of(3) { self.total } else { i64::from(n) };
        Self { gives_back: Some(part), ..self }
    }
}

impl World {
    /// Places an order, opens its payment, has it paid, and waits until the server knows.
    pub async fn buy(&self, purchase: &Purchase, weather: Weather) -> anyhow::Result<Answered> {
        self.try_to_buy(purchase, weather).await.with_context(|| format!("buying {}", purchase.number))
    }

    async fn try_to_buy(&self, purchase: &Purchase, weather: Weather) -> anyhow::Result<Answered> {
        let Purchase { number, total, .. } = purchase;
        let order = json!({
            "merchant_order_no": number,
            "description": "明前龙井",
            "amount": { "total": total, "currency": "CNY" },
        });
        let (status, said) = self.ask(Method::POST, "/v1/orders", Some(&order)).await?;
        ensure!(matches!(status.as_u16(), 200 | 201), "placing the order: {status} {said}");
        let id = text(&said["order"]["id"])?;
        let mut answered = Answered { number: number.clone(), id, total: *total, given_back: None };

        let own_app = if purchase.native { &self.native_app } else { &self.mini_program_app };
        let from_unknown_app = weather == Weather::UnknownApp && !purchase.native;
        if from_unknown_app && self.open(purchase, &answered, UNKNOWN_APP).await?.is_none() {
            return Ok(answered);
        }
        let Some(payment) = self.open(purchase, &answered, own_app).await? else {
            return Ok(answered);
        };
        if purchase.pays {
            self.pay(&text(&payment["out_trade_no"])?).await?;
            self.wait_until_paid(&answered, &text(&payment["id"])?, weather).await?;
            if let Some(part) = purchase.gives_back {
                self.give_back(&mut answered, part, weather).await?;
            }
            if weather.ships() && !purchase.native {
                self.ship(&answered).await?;
            }
        } else if weather == Weather::Clear {
            self.close(&answered).await?;
        }
        Ok(answered)
    }

    /// Opens a payment, and asks again until it can be paid. `None`: there is no use in paying,
    /// because it is paid already or because nobody knows yet what became of a create.
    async fn open(&self, purchase: &Purchase, order: &Answered, app: &str) -> anyhow::Result<Option<Value>> {
        let asked = match purchase.native {
            true => json!({ "method": "native", "app_id": app }),
            false => json!({ "method": "mini_program", "app_id": app, "openid": "oCRASHTESTPAYER" }),
        };
        let path = format!("/v1/orders/{}/payments", order.id);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let (status, said) = self.ask(Method::POST, &path, Some(&asked)).await?;
            let payment = &said["payment"];
            match (status.as_u16(), said["code"].as_str(), payment["status"].as_str()) {
                (200, _, Some("awaiting_payment")) => return Ok(Some(payment.clone())),
                (200, _, Some("succeeded")) | (409, Some("order_paid"), _) => return Ok(None),
                // Refused, and rightly so.
                (422, Some("payment_refused"), _) if app == UNKNOWN_APP => return Ok(Some(Value::Null)),
                // WeChat Pay has to be asked for minutes before a create that was refused after a
                // crash counts as refused.
                (202, _, Some("unknown")) if app == UNKNOWN_APP => return Ok(None),
                (202, _, _) => {}
                _ => bail!("opening a payment: {status} {said}"),
            }
        }
        bail!("no payment could be opened in {PATIENCE:?}")
    }

    async fn pay(&self, out_trade_no: &str) -> anyhow::Result<()> {
        let url = format!("{}/_sim/payments/{out_trade_no}/pay", self.simulator_url);
        let (status, said) = self.patient().ask(Method::POST, &url, None).await?;
        // 409: it was paid before, or a machine that is slow had no time to say so.
        ensure!(status.is_success() || status == StatusCode::CONFLICT, "paying: {status} {said}");
        Ok(())
    }

    /// Has an order closed, and waits until it is, or until it is paid after all.
    async fn close(&self, order: &Answered) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let (status, said) =
                self.ask(Method::POST, &format!("/v1/orders/{}/close", order.id), Some(&json!({}))).await?;
            match status.as_u16() {
                200 => return Ok(()),
                202 => sleep(AGAIN_AFTER).await,
                _ => bail!("closing the order: {status} {said}"),
            }
        }
        bail!("the order was not closed in {PATIENCE:?}")
    }

    async fn wait_until_paid(&self, order: &Answered, payment: &str, weather: Weather) -> anyhow::Result<()> {
        let (start, end) = (Instant::now(), Instant::now() + PATIENCE);
        while Instant::now() < end {
            let (status, said) = self.ask(Method::GET, &format!("/v1/orders/{}", order.id), None).await?;
            ensure!(status == StatusCode::OK, "reading the order: {status} {said}");
            if said["order"]["status"] == "paid" {
                return Ok(());
            }
            if weather.is_silent() || start.elapsed() > ASK_AFTER {
                self.have_asked(payment).await?;
            }
            sleep(AGAIN_AFTER).await;
        }
        bail!("the order was not paid in {PATIENCE:?}")
    }

    /// Asks for a refund, and waits for it if that is what the scenario is about.
    async fn give_back(&self, order: &mut Answered, part: i64, weather: Weather) -> anyhow::Result<()> {
        let asked = json!({
            "merchant_refund_no": format!("BACK-{}", order.number),
            "amount": { "total": part, "currency": "CNY" },
        });
        let (status, said) =
            self.ask(Method::POST, &format!("/v1/orders/{}/refunds", order.id), Some(&asked)).await?;
        ensure!(matches!(status.as_u16(), 200 | 201), "asking for a refund: {status} {said}");
        order.given_back = Some(part);
        let path = format!("/v1/refunds/{}", text(&said["refund"]["id"])?);
        let end = Instant::now() + PATIENCE;
        while weather.gives_back() {
            let (status, said) = self.ask(Method::GET, &path, None).await?;
            ensure!(status == StatusCode::OK, "reading the refund: {status} {said}");
            if said["refund"]["status"] == "succeeded" {
                break;
            }
            ensure!(Instant::now() < end, "the money was not back in {PATIENCE:?}: {said}");
            sleep(AGAIN_AFTER).await;
        }
        Ok(())
    }

    /// Says how an order is shipped until WeChat knows it, and never says it as a change.
    async fn ship(&self, order: &Answered) -> anyhow::Result<()> {
        let asked = json!({ "way": "pick_up", "item_desc": "明前龙井" });
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let (status, said) =
                self.ask(Method::POST, &format!("/v1/orders/{}/shipping", order.id), Some(&asked)).await?;
            match (status.as_u16(), said["shipping"]["status"].as_str()) {
                (200, Some("uploaded")) => return Ok(()),
                (200 | 201, Some("requested")) => sleep(AGAIN_AFTER).await,
                _ => bail!("shipping the order: {status} {said}"),
            }
        }
        bail!("WeChat did not know of the shipping in {PATIENCE:?}")
    }

    /// Has WeChat Pay asked about a payment.
    pub async fn have_asked(&self, payment: &str) -> anyhow::Result<()> {
        let (status, said) = self.ask(Method::POST, &format!("/v1/payments/{payment}/confirm"), None).await?;
        ensure!(status == StatusCode::OK, "having WeChat Pay asked: {status} {said}");
        Ok(())
    }

    fn patient(&self) -> Patient {
        let http = self.http.clone();
        Patient { http, api_key: API_KEY, patience: PATIENCE, again_after: AGAIN_AFTER }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        self.patient().ask(method, &format!("{}{path}", self.api_url), body).await
    }

    /// Uses one of the simulator's controls.
    pub async fn control(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let (status, said) =
            self.patient().ask(method, &format!("{}/_sim/{path}", self.simulator_url), body).await?;
        ensure!(status.is_success(), "/_sim/{path}: {status} {said}");
        Ok(said)
    }
}
