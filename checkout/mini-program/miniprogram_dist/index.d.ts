/** Pays an everpaid order in a WeChat mini-program. No promise here carries the payer's openid. */

export interface Options {
  /** The order's `client_secret`, as your backend got it from `POST /v1/orders`. */
  clientSecret: string;
  /** Where everpaid is, as `https://pay.example.com`; it is a request 合法域名 of your mini-program. */
  baseUrl?: string;
  /** This mini-program's appid; may be left out when the merchant has one mini-program. */
  appId?: string;
  /** What the payer was shown, in fen. If the order's amount is another, nothing is opened. */
  expectedTotal?: number;
  /** Is told how far it is, to be shown. */
  onStep?: (step: Step) => void;
  /** WeChat; the global `wx` unless said otherwise. */
  wx?: WeChat;
  /** The time; the phone's unless said otherwise. */
  clock?: Clock;
}

/** `opening`: nothing can be paid yet. `cashier`: WeChat has the screen. `confirming`: the server is asked. */
export type Step = "opening" | "cashier" | "confirming";

/**
 * `paid`: the server says so. `cancelled`: the payer left, and the server, asked again, knows of no payment.
 * `failed`: no cashier was opened, or it failed, and the server knows of no payment.
 * `unknown`: it could not be found out, so nobody should pay again now; `check` asks once more.
 */
export type Outcome = "paid" | "cancelled" | "failed" | "unknown";

export interface Result<Outcomes = Outcome> {
  outcome: Outcomes;
  /** What to tell the payer, in the language of their WeChat. */
  message: string;
  /** Does it make sense to offer to pay again? Never after `paid` and `unknown`. */
  mayRetry: boolean;
  /** The order as the server last told it; null when it did not answer. */
  order: Order | null;
  /** Why it failed: a `code` of the server's problems, or `network`, `slow`, `login_failed`, `cashier_failed`, … */
  code?: string;
  /** What WeChat said, for your logs. */
  detail?: string;
  /** For everpaid's logs. */
  requestId?: string;
}

/** Pays the order. Resolves whatever happens; rejects only with a TypeError, when it is called wrongly. */
export function pay(options: Options): Promise<Result>;

/**
 * Asks the server how the order stands, and WeChat Pay through it when a payment is under way.
 * Opens nothing. `unpaid` says that the server knows of no payment now.
 */
export function check(options: Options): Promise<Result<"paid" | "unpaid" | "failed" | "unknown">>;

/** What holds for every call from now on, and for the component. */
export function configure(defaults: Partial<Options>): void;

export interface Order {
  id: string;
  status: "pending" | "closing" | "closed" | "paid" | "partially_refunded" | "refunded";
  /** In whole fen. */
  amount: { total: number; currency: string };
  description: string;
  /** `support`: how the merchant is reached, as the merchant wrote it; it may be left out. */
  merchant: { name: string; support?: string };
  /** Left out, as what follows is null or empty, seven days after the order was paid or closed. */
  created_at?: string;
  expires_at?: string;
  paid_at: string | null;
  return_url: string | null;
  payment: Payment | null;
}

/** One try to pay an order. */
export interface Payment {
  id: string;
  order_id: string;
  method: "mini_program" | "native";
  status: "queued" | "created" | "awaiting_payment" | "unknown" | "closing" | "closed" | "failed" | "succeeded";
  created_at: string;
  call_up?: CallUp;
  failure?: { code: string; message: string };
  transaction_id?: string;
  succeeded_at?: string;
}

/** The call-up parameters of WeChat Pay, every value a string. */
export interface CallUp {
  appId: string;
  timeStamp: string;
  nonceStr: string;
  package: string;
  signType: "RSA";
  paySign: string;
}

/** The part of `wx` that is used. */
export type WeChat = Pick<
  WechatMiniprogram.Wx,
  "login" | "request" | "requestPayment" | "onAppShow" | "offAppShow" | "getAppBaseInfo"
>;

export interface Clock {
  /** Milliseconds since whenever. */
  now(): number;
  pause(ms: number): Promise<void>;
}
