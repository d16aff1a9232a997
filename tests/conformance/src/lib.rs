//! What the conformance suite in `suite/` is made of: WeChat Pay with a merchant beside it who
//! speaks to it in two ways, by hand and with our client.
//!
//! By hand means: bytes on a socket, and a signature made here from WeChat Pay's documentation. It
//! shares nothing with the simulator or the `wechatpay` crate, so that a mistake which both make
//! is seen.

mod hand;
mod wire;
mod shop;
mod world;

pub use crate::{
    hand::{Hand, Said, Trust},
    shop::{Posted, Shop},
    wire::{Answer, Cut, Request, send},
    world::{World, code, refused},
};
