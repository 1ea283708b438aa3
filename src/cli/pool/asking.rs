//! Who asks, where the issuers are, and how answers are shown.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{
    cli::municipal::{self, Output, seed, waits},
    client::{endpoints::Endpoints, error::Error, issuers::Issuers},
};

/// What every command of the pool needs.
#[derive(Debug, Clone, Args)]
pub(super) struct Asking {
    /// The file that says where the system is, as `todoke dev` writes it
    #[arg(long, value_name = "FILE", default_value = "endpoints.json")]
    endpoints: PathBuf,
    /// Whose certificate is used, such as operator/alice
    #[arg(long = "as", value_name = "ROLE/NAME")]
    caller: String,
    /// How long each answer is waited for
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = municipal::wait)]
    patience: Duration,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

impl Asking {
    /// What `endpoints.json` says.
    pub(super) fn endpoints(&self) -> Result<Endpoints, Error> {
        Ok(Endpoints::load(&self.endpoints)?)
    }

    /// The issuers; nothing is sent yet.
    pub(super) fn issuers(&self) -> Result<Issuers, Error> {
        Issuers::connect(&self.endpoints()?, &self.caller, self.patience, seed(), waits(self.output))
    }
}
