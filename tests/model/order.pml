/*
 * One order with two payments, and all that may happen to them: WeChat Pay, the network, the payer, the
 * shop, and the jobs of the worker, whose runs may die between what they did and what they write down.
 *
 * The second payment is wished for while the first can still be paid. It waits in `queued` and is opened
 * when WeChat Pay has closed the first. README.md says what is left out, and `check` what must hold.
 */

mtype = {
  /* a payment at WeChat Pay; CLOSED is also a word of ours */
  ABSENT, NOTPAY, SUCCESS, CLOSED,
  /* entity/src/order/lifecycle.rs */
  PENDING, CLOSING, PAID,
  /* entity/src/payment/lifecycle.rs */
  NONE, QUEUED, CREATED, AWAITING, UNKNOWN, FAILED, SUCCEEDED,
  /* a row in `job`: not there, due, being run, asked for while it was being run */
  NO, DUE, RUNNING, WANTED,
  /* what became of a call that changes something */
  TAKEN, REFUSED, OVERTAKEN, LOST, NOTED
}

/* How many answers are lost and how many runs die: if there were no end to it, nothing would ever end. */
#ifndef TROUBLE
#define TROUBLE 2
#endif
byte trouble = TROUBLE;

/* ---- at WeChat Pay ---- */
mtype wx[2] = ABSENT;
mtype flying[2] = NONE;       /* a create that may yet arrive: NOTED in create_signed_at, or LOST */
byte refunds;                 /* how often WeChat Pay gave the surplus back */

/* ---- our rows ---- */
mtype order = PENDING;
mtype pay[2] = NONE;
bool sent[2];                 /* an earlier run of RequestPrepay may have sent the create */
byte booked[2];               /* lines in the money book */
bool surplus[2];
mtype refund = NONE;          /* CREATED is what the lifecycle calls requested */
bool untold;                  /* told_seq < event_seq */
mtype prepay[2] = NO, confirm[2] = NO, close_payment[2] = NO;
mtype close_order = NO, push = NO, request_refund = NO;

/* Answers that were not acted on yet: two of ConfirmPayment's, then two of ClosePayment's. */
mtype answer[4] = NONE;

/* ---- at the shop ---- */
bool heard;

#define payable(status)  (status == CREATED || status == AWAITING || status == UNKNOWN || status == CLOSING)
#define at_rest(status)  (status == CLOSED || status == FAILED || status == SUCCEEDED)
#define running(job)     (job == RUNNING || job == WANTED)

/* ---- jobs/src/asking.rs and running.rs ---- */

inline ask_for(job) {
  if
  :: job == NO -> job = DUE
  :: job == RUNNING -> job = WANTED
  :: else
  fi
}

inline done(job) {
  if
  :: job == WANTED -> job = DUE
  :: else -> job = NO
  fi
}

inline again(job) { job = DUE }

/* The first statement of a choice: the run ends here, and its lease brings the job back. */
inline die(job) { trouble > 0 -> trouble--; again(job) }

/* ---- worker/src/transition.rs and transition/aftermath.rs, within the caller's transaction ---- */

inline start(q) {
  pay[q] = CREATED;
  ask_for(prepay[q]);
#if !defined(WITHOUT_LADDER) && !defined(NO_NETS)
  ask_for(confirm[q])
#endif
}

/* Payment q has come to rest. */
inline follow(q) {
  if
  :: order != PENDING && payable(pay[1 - q]) -> ask_for(close_payment[1 - q])
  :: order == PENDING && pay[1 - q] == QUEUED -> start(1 - q)
  :: pay[1 - q] == QUEUED -> pay[1 - q] = CLOSED     /* in the order's last minute, even if it is pending */
  :: else
  fi;
  if
  :: order == CLOSING -> ask_for(close_order)
  :: order == PAID && close_order == DUE -> close_order = NO
  :: else
  fi
}

/* These two keep the model small: a run that would find nothing to do any more is not waited for. */
inline needless(job) {
  if
  :: job == DUE -> job = NO
  :: else
  fi
}
inline outdated(held, job, status) {
  if
  :: held != NONE && (held != SUCCESS || status == SUCCEEDED) -> held = NONE; job = NO
  :: else
  fi
}

inline ends(q, status) {
  pay[q] = status;
  sent[q] = false;
  needless(prepay[q]);
  needless(confirm[q]);
  needless(close_payment[q]);
  outdated(answer[q], confirm[q], status);
  outdated(answer[2 + q], close_payment[q], status);
  follow(q)
}

inline paid(q) {
  if
#ifdef NO_MONEY_GUARD
  :: booked[q] < 2 ->
#else
  :: pay[q] != SUCCEEDED ->
#endif
     booked[q]++;
     if
     :: order == PAID ->
        surplus[q] = true;
        refund = CREATED;
        ask_for(request_refund)
     :: else ->
        order = PAID;
        untold = true;
        ask_for(push)
     fi;
     ends(q, SUCCEEDED)
  :: else
  fi
}

/* ---- worker/src/answers.rs ---- */

/* What is known of it: is a create asked for, or was one signed in the last six minutes? */
#ifdef BELIEVES_NOT_FOUND
#define no_create_can_arrive(q)  true
#else
#define no_create_can_arrive(q)  (prepay[q] == NO && flying[q] != NOTED)
#endif

/* The question. An answer that changes nothing is not kept, and neither is one that never came: the state
 * would be that of a run which comes later. */
inline query(q, job, held) {
  if
  :: wx[q] == NOTPAY && pay[q] != UNKNOWN -> again(job)
  :: wx[q] == ABSENT && !no_create_can_arrive(q) -> again(job)
  :: else -> held = wx[q]
  fi
}

/* What is done with the answer, later and in another transaction. "No such payment" settles it if no
 * create could arrive when WeChat Pay was asked, none can now, and none was signed in between. */
inline act_on(q, job, held) {
  if
  :: held == SUCCESS -> paid(q); done(job)
  :: held == CLOSED ->
     if
     :: payable(pay[q]) -> ends(q, CLOSED)
     :: else
     fi;
     done(job)
  :: held == NOTPAY ->
     if
     :: pay[q] == UNKNOWN ->
        pay[q] = CREATED;
        if
        :: order == PENDING -> ask_for(prepay[q])
        :: else
        fi
     :: else
     fi;
     again(job)
  :: held == ABSENT && no_create_can_arrive(q) &&
     (pay[q] == CREATED || pay[q] == UNKNOWN || pay[q] == CLOSING) ->
     ends(q, FAILED);
     done(job)
  :: else -> again(job)
  fi;
  held = NONE
}

/* ---- worker/src/handlers ---- */

/* The jobs of payments come first, two of each, so that the number of a process says whose it is. */
#define p  (_pid % 2)

inline forget(held, job) {
  if
  :: held == ABSENT -> held = NONE; again(job)
  :: else
  fi
}

/* create_signed_at is now, and not_found_at is empty. */
inline signed_now() {
  if
  :: flying[p] == LOST -> flying[p] = NOTED
  :: else
  fi;
  forget(answer[p], confirm[p]);
  forget(answer[2 + p], close_payment[p])
}

inline outcome_lost() {
  if
  :: pay[p] == CREATED -> pay[p] = UNKNOWN
  :: else
  fi;
  signed_now()
}

active [2] proctype RequestPrepay() {
  mtype said = NONE;
  bool may_exist;
end:
  do
  :: atomic { prepay[p] == DUE ->
       prepay[p] = RUNNING;
       may_exist = (pay[p] == UNKNOWN || sent[p]);
       if
       :: pay[p] != CREATED && pay[p] != UNKNOWN ->
#ifndef FORGETS_A_CREATE
          if
          :: sent[p] -> signed_now()
          :: else
          fi;
#endif
          sent[p] = false;
          done(prepay[p])
       :: (pay[p] == CREATED || pay[p] == UNKNOWN) && order == PENDING ->
          sent[p] = true;
          goto ask
       :: pay[p] == CREATED || pay[p] == UNKNOWN ->  /* always if the order is not pending, or its time is over */
          if
          :: may_exist -> outcome_lost()
          :: else -> ends(p, FAILED)
          fi;
          done(prepay[p])
       fi;
       may_exist = false }
  od;
ask:
  atomic {
    if
    :: wx[p] == ABSENT -> wx[p] = NOTPAY; flying[p] = NONE; said = TAKEN
    :: wx[p] == ABSENT -> said = REFUSED
    :: wx[p] == NOTPAY -> said = TAKEN
    :: wx[p] == SUCCESS || wx[p] == CLOSED -> said = OVERTAKEN
    :: trouble > 0 -> trouble--; flying[p] = (wx[p] == ABSENT -> LOST : NONE); said = LOST
    fi }
  atomic {
    if
    :: die(prepay[p])
    :: said == TAKEN ->
       if
       :: pay[p] == CREATED || pay[p] == UNKNOWN -> pay[p] = AWAITING; sent[p] = false
       :: else
       fi;
#ifndef FORGETS_A_CREATE
       signed_now();
#endif
       done(prepay[p])
    :: said == REFUSED && !may_exist ->
       if
       :: pay[p] == CREATED || pay[p] == CLOSING -> ends(p, FAILED)
       :: else
       fi;
       done(prepay[p])
    :: said == OVERTAKEN || (said == REFUSED && may_exist) ->
       outcome_lost();
       ask_for(confirm[p]);
       done(prepay[p])
    :: said == LOST ->
       outcome_lost();
       again(prepay[p])
    fi;
    said = NONE;
    may_exist = false;
    goto end }
}

active [2] proctype ConfirmPayment() {
end:
  do
  :: atomic { confirm[p] == DUE ->
       confirm[p] = RUNNING;
       if
       :: payable(pay[p]) -> query(p, confirm[p], answer[p])
       :: else -> done(confirm[p])
       fi }
  :: atomic { running(confirm[p]) && answer[p] != NONE -> act_on(p, confirm[p], answer[p]) }
  od
}

active [2] proctype ClosePayment() {
end:
  do
  :: atomic { close_payment[p] == DUE ->
       close_payment[p] = RUNNING;
       if
       :: pay[p] == QUEUED -> ends(p, CLOSED); done(close_payment[p])
       :: at_rest(pay[p]) -> done(close_payment[p])
#ifdef CLOSES_UNASKED
       :: payable(pay[p]) -> ends(p, CLOSED); done(close_payment[p])
#else
       :: payable(pay[p]) && pay[p] != CLOSING -> pay[p] = CLOSING; again(close_payment[p])
       /* Asked and closed in one step: whoever pays in between might as well have paid before. How the
        * close was answered does not matter: the next run asks. */
       :: pay[p] == CLOSING && wx[p] == NOTPAY -> wx[p] = CLOSED; again(close_payment[p])
       :: pay[p] == CLOSING && wx[p] != NOTPAY -> query(p, close_payment[p], answer[2 + p])
#endif
       fi }
  :: atomic { running(close_payment[p]) && answer[2 + p] != NONE ->
       act_on(p, close_payment[p], answer[2 + p]) }
  od
}

#undef p

inline close_too(q) {
  if
  :: payable(pay[q]) -> pay[q] = CLOSING; ask_for(close_payment[q])
  :: pay[q] == QUEUED -> pay[q] = CLOSED
  :: else
  fi
}

active proctype CloseOrder() {
end:
  do
  :: atomic { close_order == DUE ->
       close_order = RUNNING;
       if
       :: order == PENDING -> order = CLOSING
       :: else
       fi;
       if
       :: order == CLOSING ->
          close_too(0);
          close_too(1);
          if
          /* Until follow() asks for it, or it looks again by itself, which the sweeper does for it here. */
          :: payable(pay[0]) || payable(pay[1]) -> close_order = NO
#ifdef WRITES_OVER
          :: else -> goto close
#else
          :: else -> order = CLOSED; done(close_order)
#endif
          fi
       :: else -> done(close_order)
       fi }
  od;
#ifdef WRITES_OVER
close:
  atomic { order = CLOSED; done(close_order); goto end }
#endif
}

inline take_refund() {
#ifdef NEW_REFUND_NUMBER
  refunds++
#else
  refunds = 1                 /* the same number refunds once, however often it is sent */
#endif
}

active proctype RequestRefund() {
  mtype said = NONE;
end:
  do
  :: atomic { request_refund == DUE ->
       request_refund = RUNNING;
       if
       :: refund == UNKNOWN && refunds > 0 -> said = TAKEN           /* asked first, and found */
       :: refund == CREATED || refunds == 0 -> take_refund(); said = TAKEN
       :: trouble > 0 -> trouble--; said = LOST
       :: trouble > 0 -> trouble--; take_refund(); said = LOST
       fi }
  :: atomic { said != NONE ->
       if
       :: die(request_refund)
       :: said == TAKEN -> refund = SUCCEEDED; done(request_refund)
       :: said == LOST -> refund = UNKNOWN; again(request_refund)
       fi;
       said = NONE }
  od
}

/* PushStatus and DeliverWebhook: the shop hears, and then we write down that it did. */
active proctype PushStatus() {
end:
  do
  :: atomic { push == DUE ->
       push = RUNNING;
       if
       :: heard = (order == PAID)
#ifdef TELLS_ONCE
       :: trouble > 0 -> trouble--
#else
       :: die(push)
#endif
       fi }
  :: atomic { running(push) ->
       if
       :: untold = false; done(push)
       :: die(push)
       fi }
  od
}

/* The bill names what was taken after WeChat Pay had said "closed", which nobody asks about any more. It
 * looks at nothing else, so that it cannot stand in for the ladder. */
active proctype ReconcileDay() {
end:
  do
  :: atomic { wx[0] == SUCCESS && (pay[0] == CLOSED || pay[0] == FAILED) -> paid(0) }
  :: atomic { wx[1] == SUCCESS && (pay[1] == CLOSED || pay[1] == FAILED) -> paid(1) }
  od
}

#if !defined(WITHOUT_SWEEPER) && !defined(NO_NETS)
active proctype SweepOverdue() {
end:
  do
  :: atomic { order == CLOSING && close_order == NO -> ask_for(close_order) }
  :: atomic { payable(pay[0]) && pay[0] != CLOSING && confirm[0] == NO -> ask_for(confirm[0]) }
  :: atomic { payable(pay[1]) && pay[1] != CLOSING && confirm[1] == NO -> ask_for(confirm[1]) }
  :: atomic { pay[0] == CLOSING && close_payment[0] == NO -> ask_for(close_payment[0]) }
  :: atomic { pay[1] == CLOSING && close_payment[1] == NO -> ask_for(close_payment[1]) }
  :: atomic { untold && push == NO -> ask_for(push) }
  od
}
#endif

/* ---- the world ---- */

/* A create on its way arrives or is lost, sooner or later. */
active proctype Network() {
end:
  do
  :: atomic { flying[0] != NONE -> flying[0] = NONE; if :: wx[0] = NOTPAY :: true fi }
  :: atomic { flying[1] != NONE -> flying[1] = NONE; if :: wx[1] = NOTPAY :: true fi }
  od
}

inline tap_again(q) {
  order == PENDING && prepay[q] == NO && (pay[q] == CREATED || pay[q] == UNKNOWN) -> ask_for(prepay[q])
}

/* What may happen at any time, and need not. */
active proctype World() {
  atomic { start(0) }
  do
  /* The order's time is over, or the shop wants it closed. */
  :: atomic { order == PENDING && close_order == NO -> close_order = DUE }
  /* Another method, app or person (api/src/payments.rs). */
  :: atomic { order == PENDING && pay[1] == NONE ->
       if
       :: payable(pay[0]) ->
          ask_for(close_payment[0]);
#ifdef STARTS_EARLY
          start(1)
#else
          pay[1] = QUEUED
#endif
       :: else -> start(1)
       fi }
  :: atomic { tap_again(0) }
  :: atomic { tap_again(1) }
  :: atomic { wx[0] == NOTPAY -> wx[0] = SUCCESS }
  :: atomic { wx[1] == NOTPAY -> wx[1] = SUCCESS }
  /* Late money: taken although it was closed. */
  :: atomic { wx[0] == CLOSED -> wx[0] = SUCCESS }
  :: atomic { wx[1] == CLOSED -> wx[1] = SUCCESS }
  /* A notification comes, for the first time or again; stored and applied in one step. */
  :: atomic { wx[0] == SUCCESS -> paid(0) }
  :: atomic { wx[1] == SUCCESS -> paid(1) }
#ifdef BELIEVES_THE_PAGE
  :: atomic { wx[0] == NOTPAY -> paid(0) }
#endif
  /* Fairness makes every process move; this move lets the world do nothing. */
  :: trouble <= TROUBLE
  od
}

/* ---- what is promised ---- */

/* Every payment that WeChat Pay took is booked once at most, */
ltl once     { [] (booked[0] <= 1 && booked[1] <= 1) }
/* nothing else is booked or told, */
ltl honest   { [] ((booked[0] > 0 -> wx[0] == SUCCESS) && (booked[1] > 0 -> wx[1] == SUCCESS)
                && (order == PAID -> booked[0] + booked[1] > 0) && (heard -> order == PAID)) }
/* and in the end everything that it took is. (What is booked stays booked.) */
ltl noloss   { [] <> !((wx[0] == SUCCESS && booked[0] == 0) || (wx[1] == SUCCESS && booked[1] == 0)) }
/* Paid stays paid. */
ltl sticky   { [] (order == PAID -> [] (order == PAID)) }
/* Nothing is given up here that can be paid there. */
ltl noshut   { [] !((order == CLOSED && (wx[0] == NOTPAY || wx[1] == NOTPAY))
                || ((pay[0] == CLOSED || pay[0] == FAILED) && wx[0] == NOTPAY)
                || ((pay[1] == CLOSED || pay[1] == FAILED) && wx[1] == NOTPAY)) }
/* Never can two payments be paid at once. */
ltl single   { [] !(wx[0] == NOTPAY && wx[1] == NOTPAY) }
/* What was paid twice all the same goes back, once, and nothing else does. */
ltl refunded { [] (refunds <= 1 && (refunds > 0 -> surplus[0] || surplus[1])
                && (surplus[0] || surplus[1] -> <> (refunds == 1 && refund == SUCCEEDED))) }
/* The shop is told. */
ltl told     { [] (order == PAID -> <> heard) }
