//! The system as a whole, in one process: the real router, worker and database, and the simulator
//! as WeChat Pay. One module per kind of story.

mod system;
mod doubling;
mod sink;
mod wire;

mod stories;
mod endings;
mod explain;
mod refunds;
mod shipping;
mod money;
mod notifications;
mod webhooks;
mod threats;
mod requests;
mod payers;
mod payer_path;
mod processes;
mod operator;
mod figures;
mod schema;
mod repository;
