//! The paths of WeChat Pay: who may speak, what is done, and what goes wrong on the way.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Router,
    body::to_bytes,
    extract::{ConnectInfo, Path, Query, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{StatusCode, header, request::Parts};
use sea_orm::DbErr;
use serde_json::{Map, Value, json};
use tracing::{debug, error};

use crate::{
    clock::{parse_rfc3339, rfc3339},
    credentials::random_text,
    faults::{FaultKind, Target},
    payer::{Pay, Sender},
    rules::{self, Again, AlreadyPaid, CODE_LIFE_MS, Endpoint, NotAgain, Order, Terms},
    server::Line,
    signing::{Signature, TrustMode},
    store::{self, By},
    wechat::{Stopped, Wechat},
    wire::{
        answer::{self, Refusal},
        authorization::{Authorization, Malformed},
        fields, transaction,
    },
};

const LARGEST_BODY: usize = 1 << 20;

pub(crate) fn routes() -> Router<Arc<Wechat>> {
    Router::new()
        .route("/v3/pay/transactions/jsapi", post(create_jsapi_order))
        .route("/v3/pay/transactions/native", post(create_native_order))
        .route("/v3/pay/transactions/out-trade-no/{out_trade_no}", get(find_order))
        .route("/v3/pay/transactions/id/{transaction_id}", get(find_transaction))
        .route("/v3/pay/transactions/out-trade-no/{out_trade_no}/close", post(close_order))
        .route("/v3/certificates", get(list_certificates))
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

async fn list_certificates(State(w): Here, ConnectInfo(line): Caller, r: Request) -> Response {
    answer_call(w, line, Call::Certificates, r).await
}

enum Call {
    Create(Endpoint),
    FindOrder(String),
    FindTransaction(String),
    Close(String),
    Certificates,
}

enum Outcome {
    Answer(Response),
    Cut,
}

/// A good answer before it is signed.
struct Reply {
    status: StatusCode,
    body: Vec<u8>,
    /// The order that was asked for, when one was.
    created: Option<String>,
}

async fn answer_call(wechat: Arc<Wechat>, line: Line, call: Call, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return Refusal::param("请求体过大或不完整").into_response();
    };
    // A task of its own: WeChat Pay goes on with what it began when the caller hangs up.
    let tasks = wechat.tasks.clone();
    let work = tasks.spawn(async move { wechat.exchange(&call, &parts, body).await });
    match work.await {
        Ok(Ok(Outcome::Answer(answer))) => answer,
        Ok(Ok(Outcome::Cut) | Err(Stopped)) | Err(_) => line.cut(),
    }
}

impl Wechat {
    async fn exchange(self: &Arc<Self>, call: &Call, parts: &Parts, body: Bytes) -> Result<Outcome, Stopped> {
        let outcome = match self.authenticate(call, parts, body.clone()).await {
            Ok(mchid) => self.serve(call, parts, &body, &mchid).await?,
            Err(refusal) => Outcome::Answer(refusal.into_response()),
        };
        self.pause(self.answer_delay).await?;
        Ok(outcome)
    }

    /// Does what an authentic caller asks, unless a fault has it otherwise.
    async fn serve(
        self: &Arc<Self>,
        call: &Call,
        parts: &Parts,
        body: &[u8],
        mchid: &str,
    ) -> Result<Outcome, Stopped> {
        let fault = self.faults.take_for_answer(call.target());
        let kind = fault.as_ref().map(|fault| fault.kind);
        let delay = Duration::from_millis(fault.and_then(|fault| fault.delay_ms).unwrap_or(0));
        let refuse = |refusal: Refusal| Ok(Outcome::Answer(refusal.into_response()));
        match kind {
            Some(FaultKind::SlowBefore) => self.pause(delay).await?,
            Some(FaultKind::CutBefore) => return Ok(Outcome::Cut),
            Some(FaultKind::Html) => return Ok(Outcome::Answer(answer::html())),
            Some(FaultKind::NotFound) => return refuse(Refusal::order_not_exist()),
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
                return Ok(Outcome::Answer(self.sign(reply, Signature::Right).await));
            }
            _ => {}
        }
        let done = self.perform(call, parts, body, mchid).await;
        match (kind, &done) {
            (Some(FaultKind::CutAfter), _) => return Ok(Outcome::Cut),
            (Some(FaultKind::Slow), _) => self.pause(delay).await?,
            (Some(FaultKind::PayBeforeAnswer), Ok(reply)) => self.pay_now(reply).await,
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
        let signature = match kind {
            Some(FaultKind::WrongSignature) => Signature::Wrong,
            Some(FaultKind::ProbeSignature) => Signature::Probe,
            _ => Signature::Right,
        };
        Ok(Outcome::Answer(self.sign(reply, signature).await))
    }

    /// Who is speaking: the mchid whose key signed the request.
    async fn authenticate(
        self: &Arc<Self>,
        call: &Call,
        parts: &Parts,
        body: Bytes,
    ) -> Result<String, Refusal> {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        if matches!(call, Call::Certificates)
            && [header::USER_AGENT, header::ACCEPT].iter().any(|name| text(name).is_none_or(str::is_empty))
        {
            return Err(Refusal::invalid_request("Http头缺少Accept或User-Agent"));
        }
        let refuse = |message: &str| call.sign_error(message);
        let said = Authorization::parse(text(&header::AUTHORIZATION)).map_err(|why| {
            refuse(match (call, why) {
                (Call::Certificates, Malformed::Scheme) => "HTTP头Authorization认证类型不正确",
                (Call::Certificates, Malformed::Missing | Malformed::Pairs) => {
                    "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
                }
                _ => "签名信息错误，验签失败",
            })
        })?;
        // The clock comes first: a replay with a good signature is told about its age.
        if !said.is_fresh(self.clock.signing_ms()) {
            return Err(refuse("Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"));
        }
        let merchant = self.keys.merchant();
        if said.mchid != merchant.mchid || said.serial != merchant.certificate_serial {
            return Err(refuse("商户证书序列号有误，请使用签名私钥匹配的证书序列号"));
        }
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let message = said.message(parts.method.as_str(), target, &body);
        let signature = said.signature.to_owned();
        let is_signed = self
            .keys
            .off_thread(move |keys| keys.merchant_signed(&message, &signature))
            .await
            .map_err(|error| broken(&error))?;
        if is_signed {
            Ok(merchant.mchid.clone())
        } else {
            debug!(method = %parts.method, target, "the signature is not over these five lines");
            Err(refuse("签名错误"))
        }
    }

    async fn perform(&self, call: &Call, parts: &Parts, body: &[u8], mchid: &str) -> Result<Reply, Refusal> {
        match call {
            Call::Create(endpoint) => {
                let body = read_body(body, mchid)?;
                let tables: &[&[fields::Field]] = match endpoint {
                    Endpoint::Jsapi => &[fields::NATIVE, fields::JSAPI_ALSO],
                    Endpoint::Native => &[fields::NATIVE],
                };
                fields::check(&body, tables)?;
                let order = self.create(*endpoint, Value::Object(body)).await?;
                let reply = Reply::json(StatusCode::OK, &code_json(&order));
                Ok(Reply { created: Some(order.out_trade_no), ..reply })
            }
            Call::FindOrder(number) => {
                fields::check_text(&fields::OUT_TRADE_NO, number)?;
                self.find(parts, mchid, By::Number(number)).await
            }
            Call::FindTransaction(id) => self.find(parts, mchid, By::Transaction(id)).await,
            Call::Close(number) => {
                let body = read_body(body, mchid)?;
                fields::check(&body, &[fields::CLOSE])?;
                fields::check_text(&fields::OUT_TRADE_NO, number)?;
                self.close(number).await?;
                Ok(Reply { status: StatusCode::NO_CONTENT, body: Vec::new(), created: None })
            }
            Call::Certificates => self.certificates(),
        }
    }

    async fn create(&self, endpoint: Endpoint, body: Value) -> Result<Order, Refusal> {
        let terms: Terms =
            serde_json::from_value(body.clone()).map_err(|error| broken(&anyhow::Error::from(error)))?;
        if !self.keys.merchant().apps.iter().any(|app| app.appid == terms.appid) {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "APPID_MCHID_NOT_MATCH",
                "appid和mch_id不匹配，请检查后再试",
                268_445_527,
            ));
        }
        let now = self.now();
        let txn = self.store.begin().await?;
        let known = store::find_order(&txn, By::Number(&terms.out_trade_no)).await?;
        let order = match known.map(|order| order.at(now)) {
            None => {
                let time_expire = terms.time_expire.as_deref().and_then(parse_rfc3339);
                let order = Order {
                    out_trade_no: terms.out_trade_no.clone(),
                    endpoint,
                    body,
                    created_at: now,
                    payable_until: rules::payable_until(now, time_expire),
                    code: new_code(endpoint, now),
                    code_expires_at: now + CODE_LIFE_MS,
                    state: rules::State::NotPay,
                    terms,
                };
                store::insert_order(&txn, &order).await?;
                order
            }
            Some(mut order) => {
                if order.ask_again(endpoint, &body, now)? == Again::Fresh {
                    order.code = new_code(endpoint, now);
                    order.code_expires_at = now + CODE_LIFE_MS;
                    store::update_order(&txn, &order).await?;
                }
                order
            }
        };
        txn.commit().await?;
        Ok(order)
    }

    async fn find(&self, parts: &Parts, mchid: &str, by: By<'_>) -> Result<Reply, Refusal> {
        let query = Query::<HashMap<String, String>>::try_from_uri(&parts.uri)
            .map(|Query(query)| query)
            .unwrap_or_default();
        match query.get("mchid") {
            None => return Err(Refusal::param("缺少必填参数mchid").in_query("mchid")),
            Some(asked) if asked != mchid => {
                let message = "http header中的mchid与url query中的mchid不匹配";
                return Err(Refusal::param(message).in_query("mchid"));
            }
            Some(_) => {}
        }
        let order = store::find_order(self.store.db(), by)
            .await?
            .ok_or_else(Refusal::order_not_exist)?
            .at(self.now());
        Ok(Reply::json(StatusCode::OK, &transaction::describe(&order)))
    }

    async fn close(&self, number: &str) -> Result<(), Refusal> {
        let now = self.now();
        let txn = self.store.begin().await?;
        let mut order =
            store::find_order(&txn, By::Number(number)).await?.ok_or_else(Refusal::order_not_exist)?.at(now);
        order.state = order.close(now)?;
        store::update_order(&txn, &order).await?;
        txn.commit().await?;
        Ok(())
    }

    fn certificates(&self) -> Result<Reply, Refusal> {
        if self.keys.mode() == TrustMode::PublicKey {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "RESOURCE_NOT_EXISTS",
                "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥",
                0,
            ));
        }
        const KIND: &str = "certificate";
        let platform = self.keys.platform();
        let sealed = self.keys.seal(KIND, platform.pem.as_bytes()).map_err(|error| broken(&error))?;
        let body = json!({"data": [{
            "serial_no": platform.serial,
            "effective_time": rfc3339(platform.effective_at),
            "expire_time": rfc3339(platform.expires_at),
            "encrypt_certificate": {
                "algorithm": "AEAD_AES_256_GCM",
                "nonce": sealed.nonce,
                "associated_data": KIND,
                "ciphertext": sealed.ciphertext,
            },
        }]});
        Ok(Reply::json(StatusCode::OK, &body))
    }

    /// The payer is faster than our answer: paid, told and heard before it.
    async fn pay_now(self: &Arc<Self>, reply: &Reply) {
        let Some(number) = &reply.created else { return };
        match self.pay(By::Number(number), &Pay::default(), Sender::Caller).await {
            Ok(notification) => self.notify(notification).await,
            Err(error) => error!(%error, "paying before the answer failed"),
        }
    }

    async fn sign(self: &Arc<Self>, reply: Reply, kind: Signature) -> Response {
        let now = self.clock.signing_ms();
        let signed = self.keys.off_thread(move |keys| {
            let headers = keys.sign(now, &reply.body, kind);
            answer::signed(reply.status, reply.body, headers)
        });
        match signed.await {
            Ok(response) => response,
            Err(error) => broken(&error).into_response(),
        }
    }
}

impl Call {
    fn target(&self) -> Target {
        match self {
            Self::Create(_) => Target::Create,
            Self::FindOrder(_) | Self::FindTransaction(_) => Target::Query,
            Self::Close(_) => Target::Close,
            Self::Certificates => Target::Any,
        }
    }

    /// Observed: a 401 under `/v3/pay/transactions` has no `Request-ID`.
    fn sign_error(&self, message: &str) -> Refusal {
        Refusal { has_request_id: matches!(self, Self::Certificates), ..Refusal::sign_error(message) }
    }
}

impl Reply {
    fn json(status: StatusCode, body: &Value) -> Self {
        Self { status, body: body.to_string().into_bytes(), created: None }
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

fn new_code(endpoint: Endpoint, now: i64) -> String {
    match endpoint {
        Endpoint::Native => random_text(9),
        Endpoint::Jsapi => {
            let moment: String = rfc3339(now).chars().take(19).filter(char::is_ascii_digit).collect();
            format!("wx{moment}{}", hex::encode(rand::random::<[u8; 10]>()))
        }
    }
}

/// The one field a create answers with.
pub(crate) fn code_json(order: &Order) -> Value {
    match order.endpoint {
        Endpoint::Jsapi => json!({"prepay_id": order.code}),
        Endpoint::Native => json!({"code_url": format!("{CODE_URL}{}", order.code)}),
    }
}

pub(crate) const CODE_URL: &str = "weixin://wxpay/bizpayurl?pr=";

fn broken(error: &anyhow::Error) -> Refusal {
    error!(error = format!("{error:#}"), "answering a call failed");
    Refusal::system_error()
}

impl From<DbErr> for Refusal {
    fn from(error: DbErr) -> Self {
        broken(&error.into())
    }
}

impl From<AlreadyPaid> for Refusal {
    fn from(AlreadyPaid: AlreadyPaid) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self::new(status, "ORDER_PAID", "订单已支付，不能关闭", 268_449_538)
    }
}

impl From<NotAgain> for Refusal {
    fn from(why: NotAgain) -> Self {
        let (status, code, message, number) = match why {
            NotAgain::Paid => (403, "OUT_TRADE_NO_USED", "订单已支付", 268_498_689),
            NotAgain::Differs => {
                let message = "请求重入时，参数与首次请求时不一致";
                (403, "OUT_TRADE_NO_USED", message, 268_498_688)
            }
            NotAgain::Closed => (400, "ORDER_CLOSED", "该订单已关闭，请更换商户订单号", 268_447_914),
            // Not documented; the advice is to close it and take a new number.
            NotAgain::Expired => (400, "INVALID_REQUEST", "订单已过支付截止时间", 268_447_914),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        Self::new(status, code, message, number)
    }
}
