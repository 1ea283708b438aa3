//! What was recorded here is handed out for a time, as `todoke pool replay` reads it.

use tokio::sync::mpsc;
use tonic::Status;

use super::{Controller, seconds};
use crate::{
    pool::ledger::Export,
    runtime::blocking,
    wire::{
        convert,
        fault::{Fault, Reason},
        pb::{ExportLedgerRequest, ExportLedgerResponse},
    },
};

fn unread(error: &std::io::Error) -> Fault {
    tracing::error!(%error, "the pool's ledger cannot be read: {error}");
    Fault::new(Reason::Internal, "the ledger cannot be read: the issuer's log says why")
}

impl Controller {
    /// Opens what is kept of a time.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FIELD_INVALID`.
    pub(in crate::pool) async fn export(&self, asked: ExportLedgerRequest) -> Result<Export, Fault> {
        let none = |words: &str| Fault::new(Reason::NotFound, words);
        let folder = self.0.ledger_dir.clone();
        let folder = folder.ok_or_else(|| none("this issuer keeps no ledger: pool.ledger_dir is empty"))?;
        let second = |time: &prost_types::Timestamp| seconds(convert::millis(time));
        let from_s = asked.from_time.as_ref().map_or(0, second);
        let to_s = asked.to_time.as_ref().map_or(u64::MAX, second);
        if from_s > to_s {
            let what = "must not be before from_time";
            let fault = Fault::new(Reason::FieldInvalid, format!("to_time {what}"));
            return Err(fault.violation("to_time", what));
        }
        let opened = blocking(move || Export::open(&folder, from_s, to_s)).await;
        opened.map_err(|error| unread(&error))?.ok_or_else(|| {
            none("nothing is kept of that time: ask the issuer that decided then, or for a later time")
        })
    }
}

/// Sends whole lines until the end, or until nobody reads.
pub(in crate::pool) async fn send(
    mut export: Export,
    out: mpsc::Sender<Result<ExportLedgerResponse, Status>>,
) {
    loop {
        let (back, read) = blocking(move || {
            let read = export.read();
            (export, read)
        })
        .await;
        export = back;
        let part = match read {
            Ok(None) => return,
            Ok(Some(lines)) => Ok(ExportLedgerResponse { lines }),
            Err(error) => Err(Status::from(unread(&error))),
        };
        let ended = part.is_err();
        if out.send(part).await.is_err() || ended {
            return;
        }
    }
}
