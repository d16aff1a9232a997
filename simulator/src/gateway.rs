//! The paths of WeChat Pay: who may speak, what is done, and what goes wrong on the way.

mod authentication;
mod bills;
mod certificates;
mod login;
mod occasion;
mod orders;
mod refunds;

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Router,
    body::to_bytes,
    extract::{ConnectInfo, Path, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::DATE, request::Parts};
use sea_orm::DbErr;
use serde_json::{Map, Value, json};
use tracing::error;

use crate::{
    faults::FaultKind,
    payer::{ControlError, Pay, Sender},
    rules::{Endpoint, refund::Outcome as RefundOutcome},
    server::Line,
    signing::{Keys, Signature, UnknownSerial, WechatKey},
    store::By,
    wechat::{Stopped, Wechat},
    wire::{
        answer::{self, Refusal},
        fields,
    },
};

use authentication::Front;
pub(crate) use certificates::CALLS_PER_SECOND;
pub(crate) use orders::code_json;

/// Checks a refund as its path would.
pub(crate) fn check_refund(body: &Value) -> Result<(), String> {
    refunds::check(body).map_err(|refusal| refusal.message)
}

const LARGEST_BODY: usize = 1 << 20;

pub(crate) fn routes() -> Router<Arc<Wechat>> {
    Router::new()
        .route("/v3/pay/transactions/jsapi", post(create_jsapi_order))
        .route("/v3/pay/transactions/native", post(create_native_order))
        .route("/v3/pay/transactions/out-trade-no/{out_trade_no}", get(find_order))
        .route("/v3/pay/transactions/id/{transaction_id}", get(find_transaction))
        .route("/v3/pay/transactions/out-trade-no/{out_trade_no}/close", post(close_order))
        .route("/v3/refund/domestic/refunds", post(create_refund))
        .route("/v3/refund/domestic/refunds/{out_refund_no}", get(find_refund))
        .route("/v3/bill/tradebill", get(find_trade_bill))
        .route(bills::DOWNLOAD, get(download_bill))
        .route("/v3/certificates", get(list_certificates))
        .merge(login::routes())
}

type Here = State<Arc<Wechat>>;
type Caller = ConnectInfo<Line>;

async fn create_jsapi_order(State(w): Here, ConnectInfo(line): Caller, r: Request) -> Response {
    answer_call(w, line, Call::Create(Endpoint::Jsapi), r).await
}

async fn create_native_order(State(w): Here, ConnectInfo(line): Caller, r: Request) -> Response {
    answer_call(w, line, Call::Create(Endpoint::Native), r).await
}

async fn find_order(
    State(w): Here,
    ConnectInfo(line): Caller,
    Path(out_trade_no): Path<String>,
    r: Request,
) -> Response {
    answer_call(w, line, Call::FindOrder(out_trade_no), r).await
}

async fn find_transaction(
    State(w): Here,
    ConnectInfo(line): Caller,
    Path(transaction_id): Path<String>,
    r: Request,
) -> Response {
    answer_call(w, line, Call::FindTransaction(transaction_id), r).await
}

async fn close_order(
    State(w): Here,
    ConnectInfo(line): Caller,
    Path(out_trade_no): Path<String>,
    r: Request,
) -> Response {
    answer_call(w, line, Call::Close(out_trade_no), r).await
}

async fn create_refund(State(w): Here, ConnectInfo(line): Caller, r: Request) -> Response {
    answer_call(w, line, Call::Refund, r).await
}

async fn find_refund(
    State(w): Here,
    ConnectInfo(line): Caller,
    Path(out_refund_no): Path<String>,
    r: Request,
) -> Response {
    answer_call(w, line, Call::FindRefund(out_refund_no), r).await
}

async fn find_trade_bill(State(w): Here, ConnectInfo(line): Caller, r: Request) -> Response {
    answer_call(w, line, Call::TradeBill, r).await
}

async fn download_bill(State(w): Here, ConnectInfo(line): Caller, r: Request) -> Response {
    answer_call(w, line, Call::Download, r).await
}

async fn list_certificates(State(w): Here, ConnectInfo(line): Caller, r: Request) -> Response {
    answer_call(w, line, Call::Certificates, r).await
}

enum Call {
    Create(Endpoint),
    FindOrder(String),
    FindTransaction(String),
    Close(String),
    Refund,
    FindRefund(String),
    TradeBill,
    Download,
    Certificates,
}

enum Outcome {
    Answer(Response),
    Cut,
    /// The connection stays open, and nothing comes.
    Silence,
}

/// A good answer before it is signed.
struct Reply {
    status: StatusCode,
    body: Vec<u8>,
    /// The order that was asked for, when one was.
    created: Option<String>,
    /// A file is not signed.
    is_file: bool,
}

async fn answer_call(wechat: Arc<Wechat>, line: Line, call: Call, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match tokio::time::timeout(wechat.patience, to_bytes(body, LARGEST_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Refusal::param("请求体过大或不完整").into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    // A task of its own: WeChat Pay goes on with what it began when the caller hangs up.
    let (tasks, stop, clock) = (wechat.tasks.clone(), wechat.stop.clone(), wechat.clock.clone());
    let work = tasks.spawn(async move { wechat.exchange(&call, &parts, body).await });
    match work.await {
        Ok(Ok(Outcome::Answer(answer))) => dated(answer, clock.signing_ms()),
        Ok(Ok(Outcome::Silence)) => {
            stop.cancelled().await;
            line.cut()
        }
        Ok(Ok(Outcome::Cut) | Err(Stopped)) | Err(_) => line.cut(),
    }
}

/// Otherwise the server would date it by the machine's clock, and the signature by another.
fn dated(mut answer: Response, at_ms: i64) -> Response {
    let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(at_ms).unwrap_or(0));
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(at)) {
        answer.headers_mut().insert(DATE, date);
    }
    answer
}

impl Wechat {
    async fn exchange(self: &Arc<Self>, call: &Call, parts: &Parts, body: Bytes) -> Result<Outcome, Stopped> {
        let outcome = match self.authenticate(call.front(), parts, body.clone()).await {
            Ok(keys) => self.serve(call, parts, &body, &keys).await?,
            Err(refusal) => Outcome::Answer(refusal.into_response()),
        };
        self.changed();
        self.pause(self.answer_delay).await?;
        Ok(outcome)
    }

    /// Does what an authentic caller asks, unless a fault has it otherwise.
    async fn serve(
        self: &Arc<Self>,
        call: &Call,
        parts: &Parts,
        body: &[u8],
        keys: &Arc<Keys>,
    ) -> Result<Outcome, Stopped> {
        let refuse = |refusal: Refusal| Ok(Outcome::Answer(refusal.into_response()));
        let key = match self.key_for_answer(parts, keys) {
            Ok(key) => key,
            Err(refusal) => return refuse(refusal),
        };
        let occasion = match self.occasion(call, parts, body, keys.mchid()).await {
            Ok(occasion) => occasion,
            Err(error) => return refuse(error.into()),
        };
        let fault = occasion.as_ref().and_then(|occasion| self.faults.take(&self.chance, occasion));
        let kind = fault.as_ref().map(|fault| fault.kind);
        let delay = Duration::from_millis(fault.as_ref().and_then(|fault| fault.delay_ms).unwrap_or(0));
        let skew = fault.and_then(|fault| fault.skew_seconds).unwrap_or(0);
        match kind {
            Some(FaultKind::SlowBefore) => self.pause(delay).await?,
            Some(FaultKind::CutBefore) => return Ok(Outcome::Cut),
            Some(FaultKind::Html) => return Ok(Outcome::Answer(answer::html())),
            Some(FaultKind::NotFound) => return refuse(call.not_found()),
            Some(FaultKind::PayWhileClosing) => {
                if let Err(refusal) = self.pay_first(call, keys).await {
                    return refuse(refusal);
                }
            }
            Some(FaultKind::Status429) => return refuse(Refusal::too_frequent()),
            Some(FaultKind::Status500) => return refuse(Refusal::system_error()),
            Some(FaultKind::Status502) => {
                return refuse(Refusal::unavailable(StatusCode::BAD_GATEWAY));
            }
            Some(FaultKind::Status503) => {
                return refuse(Refusal::unavailable(StatusCode::SERVICE_UNAVAILABLE));
            }
            Some(FaultKind::Accepted202) => {
                let reply = Reply::json(StatusCode::ACCEPTED, &json!({}));
                return Ok(Outcome::Answer(self.sign(keys, key, reply, Signature::Right, 0).await));
            }
            _ => {}
        }
        let done = self.perform(call, parts, body, keys, kind).await;
        match (kind, &done) {
            (Some(FaultKind::CutAfter), _) => return Ok(Outcome::Cut),
            (Some(FaultKind::Accepted429), Ok(_)) => return refuse(Refusal::too_frequent()),
            (Some(FaultKind::NoAnswer), _) => return Ok(Outcome::Silence),
            (Some(FaultKind::Slow), _) => self.pause(delay).await?,
            (Some(FaultKind::PayBeforeAnswer), Ok(reply)) => self.pay_now(keys, reply).await,
            _ => {}
        }
        let mut reply = match done {
            Ok(reply) => reply,
            Err(refusal) => return refuse(refusal),
        };
        if kind == Some(FaultKind::Empty) {
            reply.status = StatusCode::OK;
            reply.body.clear();
        }
        if reply.is_file {
            return Ok(Outcome::Answer(answer::file(reply.status, reply.body)));
        }
        let signature = match kind {
            Some(FaultKind::WrongSignature) => Signature::Wrong,
            Some(FaultKind::ProbeSignature) => Signature::Probe,
            None if occasion.is_some_and(|occasion| {
                self.chance.happens_and_spares(self.probe_share, "probe answer", &occasion.subject())
            }) =>
            {
                Signature::Probe
            }
            _ => Signature::Right,
        };
        Ok(Outcome::Answer(self.sign(keys, key, reply, signature, skew).await))
    }

    async fn perform(
        &self,
        call: &Call,
        parts: &Parts,
        body: &[u8],
        keys: &Keys,
        fault: Option<FaultKind>,
    ) -> Result<Reply, Refusal> {
        let mchid = keys.mchid();
        match call {
            Call::Create(endpoint) => {
                let body = read_body(body, mchid)?;
                let tables: &[&[fields::Field]] = match endpoint {
                    Endpoint::Jsapi => &[fields::NATIVE, fields::JSAPI_ALSO],
                    Endpoint::Native => &[fields::NATIVE],
                };
                fields::check(&body, tables)?;
                let order = self.create(keys, *endpoint, Value::Object(body)).await?;
                let reply = Reply::json(StatusCode::OK, &code_json(&order));
                Ok(Reply { created: Some(order.out_trade_no), ..reply })
            }
            Call::FindOrder(number) => {
                fields::check_text(&fields::OUT_TRADE_NO, number)?;
                self.find(parts, mchid, By::Number(mchid, number)).await
            }
            Call::FindTransaction(id) => self.find(parts, mchid, By::Transaction(id)).await,
            Call::Close(number) => {
                let body = read_body(body, mchid)?;
                fields::check(&body, &[fields::CLOSE])?;
                fields::check_text(&fields::OUT_TRADE_NO, number)?;
                self.close(mchid, number).await?;
                Ok(Reply { status: StatusCode::NO_CONTENT, body: Vec::new(), created: None, is_file: false })
            }
            Call::Refund => {
                let outcome = match fault {
                    Some(FaultKind::RefundAbnormal) => RefundOutcome::Abnormal,
                    Some(FaultKind::RefundClosed) => RefundOutcome::Closed,
                    _ => RefundOutcome::Success,
                };
                self.create_refund(mchid, body, outcome).await
            }
            Call::FindRefund(number) => self.query_refund(mchid, number).await,
            Call::TradeBill => self.trade_bill(parts, mchid, fault).await,
            Call::Download => self.download_bill(parts, mchid).await,
            Call::Certificates => self.list_certificates(parts, keys),
        }
    }

    /// The payer is faster than our answer: paid, told and heard before it.
    async fn pay_now(self: &Arc<Self>, keys: &Keys, reply: &Reply) {
        let Some(number) = &reply.created else { return };
        match self.pay(By::Number(keys.mchid(), number), &Pay::default(), Sender::Caller).await {
            Ok(notification) => self.notify(notification).await,
            Err(error) => error!(%error, "paying before the answer failed"),
        }
    }

    /// The payer is faster than the close that has come in; if he cannot pay, it is as it was.
    async fn pay_first(&self, call: &Call, keys: &Keys) -> Result<(), Refusal> {
        let Call::Close(number) = call else { return Ok(()) };
        match self.pay(By::Number(keys.mchid(), number), &Pay::default(), Sender::Dispatcher).await {
            Err(ControlError::Store(error)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The key that the request asks for in its `Wechatpay-Serial`.
    fn key_for_answer(&self, parts: &Parts, keys: &Keys) -> Result<Arc<WechatKey>, Refusal> {
        // What is no text names no key.
        let asked = parts.headers.get("wechatpay-serial").map(|asked| asked.to_str().unwrap_or_default());
        let key = keys.for_answer(asked, self.now());
        key.cloned().map_err(|UnknownSerial| Refusal::param("平台证书序列号Wechatpay-Serial错误"))
    }

    /// Signs an answer, with a date that is so many seconds off.
    async fn sign(
        &self,
        keys: &Arc<Keys>,
        key: Arc<WechatKey>,
        reply: Reply,
        kind: Signature,
        skew_seconds: i32,
    ) -> Response {
        let dated = self.clock.signing_ms() + i64::from(skew_seconds) * 1000;
        let signed = keys.off_thread(move |_| {
            let headers = key.sign(dated, &reply.body, kind);
            answer::signed(reply.status, reply.body, headers)
        });
        match signed.await {
            Ok(response) => response,
            Err(error) => broken(&error).into_response(),
        }
    }
}

impl Call {
    fn front(&self) -> Front {
        match self {
            Self::Create(_) | Self::FindOrder(_) | Self::FindTransaction(_) | Self::Close(_) => {
                Front::Transactions
            }
            Self::Refund | Self::FindRefund(_) => Front::Refunds,
            Self::TradeBill | Self::Download => Front::Bills,
            Self::Certificates => Front::Certificates,
        }
    }

    fn not_found(&self) -> Refusal {
        match self {
            Self::FindRefund(_) => refunds::not_found(),
            _ => Refusal::order_not_exist(),
        }
    }
}

impl Reply {
    fn json(status: StatusCode, body: &Value) -> Self {
        Self { status, body: body.to_string().into_bytes(), created: None, is_file: false }
    }

    fn file(content: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, body: content, created: None, is_file: true }
    }
}

fn read_body(body: &[u8], mchid: &str) -> Result<Map<String, Value>, Refusal> {
    let body = fields::read_object(body)?;
    match body.get("mchid").and_then(Value::as_str) {
        Some(said) if said != mchid => {
            Err(Refusal::param("http header中的mchid与post payload中的mchid不匹配"))
        }
        _ => Ok(body),
    }
}

fn broken(error: &anyhow::Error) -> Refusal {
    error!(error = format!("{error:#}"), "answering a call failed");
    Refusal::system_error()
}

impl From<DbErr> for Refusal {
    fn from(error: DbErr) -> Self {
        broken(&error.into())
    }
}
