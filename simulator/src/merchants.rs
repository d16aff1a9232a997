//! Everyone who has a contract with this WeChat Pay, and how its keys change while it runs.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context, ensure};
use tokio::sync::Mutex;

use crate::{
    config::{self, MerchantConfig},
    credentials::Credentials,
    payer::ControlError,
    signing::{Keys, TrustMode, Workshop},
    store::Store,
};

/// The setting that holds the credentials of all merchants, as JSON.
const CREDENTIALS: &str = "credentials";

/// In the order in which they were named, never empty; the first is meant when nobody says which.
pub(crate) struct Merchants {
    all: Vec<RwLock<Arc<Keys>>>,
    workshop: Workshop,
    /// Held by the one change that is going on.
    changing: Mutex<()>,
}

/// Who is to have a contract.
pub(crate) struct Wanted {
    /// Empty: those in the file, or one of our own.
    pub named: Vec<MerchantConfig>,
    /// Ready-made keys of one of them, or of one more.
    pub given: Option<Credentials>,
    /// For all of them.
    pub mode: Option<TrustMode>,
}

impl Merchants {
    /// Those that are wanted, then those the file knows beside them; new ones get new keys.
    pub(crate) async fn open(store: &Store, wanted: Wanted, workshop: Workshop) -> anyhow::Result<Self> {
        let kept = match store.setting(CREDENTIALS).await? {
            Some(json) => serde_json::from_str(&json).context("reading the kept keys")?,
            None => Vec::new(),
        };
        let for_keys = workshop.clone();
        let all = tokio::task::spawn_blocking(move || {
            let all = wanted.credentials(kept)?;
            all.into_iter().map(|one| Keys::parse(one, &for_keys)).collect::<anyhow::Result<Vec<_>>>()
        });
        let all = all.await??;
        let all = all.into_iter().map(|keys| RwLock::new(Arc::new(keys))).collect();
        let merchants = Self { all, workshop, changing: Mutex::default() };
        store.set(CREDENTIALS, &merchants.to_json(None)?).await?;
        Ok(merchants)
    }

    pub(crate) fn first(&self) -> Arc<Keys> {
        current(&self.all[0])
    }

    pub(crate) fn find(&self, mchid: &str) -> Option<Arc<Keys>> {
        self.all().find(|keys| keys.mchid() == mchid)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<Keys>> {
        self.all.iter().map(current)
    }

    /// What the payer reads.
    pub(crate) fn name_of(&self, mchid: &str) -> String {
        self.find(mchid).map_or_else(|| mchid.to_owned(), |keys| keys.merchant().name.clone())
    }

    /// Changes a merchant's credentials, for good and at once; changes wait for each other.
    /// `change` is CPU-bound and may fail, which leaves everything as it was.
    pub(crate) async fn change(
        &self,
        store: &Store,
        mchid: &str,
        change: impl FnOnce(Credentials) -> Result<Credentials, ControlError> + Send + 'static,
    ) -> Result<Arc<Keys>, ControlError> {
        let _turn = self.changing.lock().await;
        let slot = self.all.iter().find(|slot| current(slot).mchid() == mchid);
        let slot = slot.ok_or_else(|| ControlError::NotFound(format!("no merchant {mchid}")))?;
        let (before, workshop) = (current(slot), self.workshop.clone());
        let changed = tokio::task::spawn_blocking(move || {
            let credentials = change(before.credentials().clone())?;
            Ok::<_, ControlError>(Arc::new(Keys::parse(credentials, &workshop)?))
        });
        let changed = changed.await.map_err(anyhow::Error::from)??;
        store.set(CREDENTIALS, &self.to_json(Some(&changed))?).await?;
        *slot.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&changed);
        Ok(changed)
    }

    /// Everyone's credentials, one of them as changed.
    fn to_json(&self, changed: Option<&Arc<Keys>>) -> anyhow::Result<String> {
        let all: Vec<_> = self.all().collect();
        let newest = |keys: &'_ Arc<Keys>| changed.filter(|new| new.mchid() == keys.mchid()).cloned();
        let all: Vec<_> = all.into_iter().map(|keys| newest(&keys).unwrap_or(keys)).collect();
        let credentials: Vec<_> = all.iter().map(|keys| keys.credentials()).collect();
        Ok(serde_json::to_string(&credentials)?)
    }
}

fn current(keys: &RwLock<Arc<Keys>>) -> Arc<Keys> {
    Arc::clone(&keys.read().unwrap_or_else(PoisonError::into_inner))
}

impl Wanted {
    /// In the order of the named, of the given, and of the file.
    fn credentials(self, mut kept: Vec<Credentials>) -> anyhow::Result<Vec<Credentials>> {
        config::check(&self.named)?;
        let mut order: Vec<_> = self.named.iter().map(|named| named.mchid.clone()).collect();
        order.extend(self.given.as_ref().map(|given| given.mchid.clone()));
        if let Some(given) = self.given {
            match kept.iter_mut().find(|one| one.mchid == given.mchid) {
                Some(one) => *one = given,
                None => kept.push(given),
            }
        }
        let known: HashSet<_> = kept.iter().map(|one| one.mchid.clone()).collect();
        let new: Vec<_> = self.named.iter().filter(|one| !known.contains(&one.mchid)).cloned().collect();
        kept.extend(Credentials::generate_for(&new)?);
        if kept.is_empty() {
            kept.push(Credentials::generate()?);
        }
        for merchant in &self.named {
            if let Some(one) = kept.iter_mut().find(|one| one.mchid == merchant.mchid) {
                one.follow(merchant);
            }
        }
        kept.sort_by_key(|one| order.iter().position(|mchid| *mchid == one.mchid).unwrap_or(usize::MAX));
        if let Some(mode) = self.mode {
            for one in &mut kept {
                one.mode = mode;
            }
        }
        ensure!(kept.iter().all(|one| !one.apps.is_empty()), "a merchant has no app");
        Ok(kept)
    }
}
