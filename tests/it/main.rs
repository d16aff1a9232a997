//! The system as a whole, in one process: the real router, worker and database, and the simulator
//! as WeChat Pay. One module per kind of story.

mod system;
mod doubling;

mod stories;
mod endings;
mod notifications;
mod requests;
mod payers;
mod schema;
mod repository;
