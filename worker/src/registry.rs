//! Every job with its handler, and the queues that carry them.
//!
//! To add a job: a struct in `jobs/src/kinds.rs`, a handler file in `handlers/` with the same
//! name, and its line here. The compiler asks for all three.

use entity::job::Lane;
use futures::{FutureExt, future::BoxFuture};
use jobs::{Failure, Finished, Job, Kind, Run};

use crate::{Context, handlers};

/// Runs the handler of a job.
pub(crate) fn dispatch<'a>(
    kind: Kind,
    context: &'a Context,
    run: &'a Run,
) -> BoxFuture<'a, Result<Finished, Failure>> {
    async move {
        match kind {
            Kind::RequestPrepay => handlers::request_prepay::run(context, run, &subject(run)?).await,
            Kind::ApplyNotification => handlers::apply_notification::run(context, run, &subject(run)?).await,
            Kind::ConfirmPayment => handlers::confirm_payment::run(context, run, &subject(run)?).await,
            Kind::ClosePayment => handlers::close_payment::run(context, run, &subject(run)?).await,
            Kind::CloseOrder => handlers::close_order::run(context, run, &subject(run)?).await,
            Kind::PushStatus => handlers::push_status::run(context, run, &subject(run)?).await,
            Kind::DeliverWebhook => handlers::deliver_webhook::run(context, run, &subject(run)?).await,
            Kind::RequestRefund => handlers::request_refund::run(context, run, &subject(run)?).await,
            Kind::ConfirmRefund => handlers::confirm_refund::run(context, run, &subject(run)?).await,
            Kind::UploadShipping => handlers::upload_shipping::run(context, run, &subject(run)?).await,
            Kind::SweepOverdue => handlers::sweep_overdue::run(context, run, &subject(run)?).await,
        }
    }
    .boxed()
}

/// How many jobs of a queue run at once in one process. Chosen for the time WeChat Pay takes to
/// answer; the database is the limit long before.
pub(crate) fn concurrency(lane: Lane) -> usize {
    match lane {
        Lane::Interactive => 64,
        Lane::Background => 64,
    }
}

/// How many ids may wait in a queue. The rows are the backlog; the queue is only a window on it.
pub(crate) const WINDOW: usize = 512;

fn subject<J: Job>(run: &Run) -> Result<J, Failure> {
    J::from_subject(&run.subject)
        .ok_or_else(|| Failure::GiveUp(format!("the subject of job {} is not an id", run.job_id)))
}
