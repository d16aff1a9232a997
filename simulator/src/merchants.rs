//! Everyone who has a contract with this WeChat Pay.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::ensure;

use crate::signing::Keys;

/// In the order in which they were named, never empty; the first is meant when nobody says which.
pub(crate) struct Merchants(Vec<RwLock<Arc<Keys>>>);

impl Merchants {
    pub(crate) fn new(all: Vec<Keys>) -> anyhow::Result<Self> {
        ensure!(!all.is_empty(), "there must be a merchant");
        let mchids: HashSet<_> = all.iter().map(Keys::mchid).collect();
        ensure!(mchids.len() == all.len(), "two merchants have the same mchid");
        Ok(Self(all.into_iter().map(|keys| RwLock::new(Arc::new(keys))).collect()))
    }

    pub(crate) fn first(&self) -> Arc<Keys> {
        current(&self.0[0])
    }

    pub(crate) fn find(&self, mchid: &str) -> Option<Arc<Keys>> {
        self.all().find(|keys| keys.mchid() == mchid)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<Keys>> {
        self.0.iter().map(current)
    }
}

fn current(keys: &RwLock<Arc<Keys>>) -> Arc<Keys> {
    Arc::clone(&keys.read().unwrap_or_else(PoisonError::into_inner))
}
