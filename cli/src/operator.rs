//! The operator's hands: commands that look into the database of an everpaid and ask it for work.
//!
//! They open the database themselves, beside the processes that run on it, and write one short
//! transaction at most. SQLite and Postgres keep such writers apart; the running process finds
//! what was asked for at its next look, 200 ms later at most.

pub(crate) mod explain;
pub(crate) mod jobs;
pub(crate) mod webhooks;
pub(crate) mod cases;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use entity::{Clock, Db, DbOptions};

use crate::{config::Config, dev};

/// Which everpaid.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The configuration file; see everpaid.example.toml.
    #[arg(long, default_value = "everpaid.toml", env = "EVERPAID_CONFIG")]
    config: PathBuf,
    /// The directory of `everpaid dev`, instead of a configuration.
    #[arg(long, conflicts_with = "config")]
    data: Option<PathBuf>,
}

impl Which {
    /// Its database, if that is there and of this version.
    pub async fn open(&self) -> anyhow::Result<Db> {
        let options = self.database()?;
        if let Some(file) = options.url.strip_prefix("sqlite://") {
            // Opening would make an empty one.
            let file = file.split('?').next().unwrap_or(file);
            ensure!(std::fs::exists(file)?, "there is no database at {file}");
        }
        let options = DbOptions { writers: 1, readers: 1, ..options };
        let db = Db::open(&options, Clock::System).await.context("opening the database")?;
        let pending = migration::pending(db.reader()).await.context("reading the schema")?;
        ensure!(pending.is_empty(), "migrations are pending; run `everpaid migrate up`");
        Ok(db)
    }

    /// How WeChat Pay knows what is that merchant's.
    pub fn identity(&self, merchant: &str) -> anyhow::Result<worker::Identity> {
        if let Some(data) = &self.data {
            return dev::identity(data, merchant);
        }
        let config = Config::read(&self.config)?;
        let public_url = config.public_url(config.listen)?;
        let known = config.merchants.get(merchant);
        let known = known.with_context(|| format!("merchant {merchant} is not configured"))?;
        Ok(known.identity(merchant, &public_url))
    }

    fn database(&self) -> anyhow::Result<DbOptions> {
        match &self.data {
            Some(data) => {
                let file = std::path::absolute(data.join("everpaid.sqlite"))?;
                Ok(DbOptions::new(format!("sqlite://{}", file.display())))
            }
            None => Config::read(&self.config)?.database.options(),
        }
    }
}
