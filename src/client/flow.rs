//! From a file to a verified receipt: done is only what the issuer's signature says and the file's own totals
//! confirm.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    calls::CallError,
    control_totals::ControlTotals,
    error::Error,
    events::Event,
    finish::receive,
    journal::{self, Entry, Journal},
    outcome::Outcome,
    plan::{Known, NewBatch, cut_up_as, plan},
    reader::ReadOptions,
    receipts,
    scan::{Scan, scan},
    session::Session,
    streams::StreamStart,
    taken::NUMBERS_MAX,
    uploaded::{UploadError, Uploaded},
    uploader::{Upload, UploadOptions, upload},
    watch::{Watched, watch},
};
use crate::{
    crash::{self, Point},
    domain::{
        digest::Digest,
        manifest::{Manifest, Policy},
        ranges::Ranges,
    },
    runtime,
    wire::{fault::Reason, pb},
};

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How the file is read; a journal's own answer wins.
    pub read: ReadOptions,
    /// Records in each chunk but the last, a power of two; a journal's own answer wins.
    pub chunk_records: u32,
    /// A tally from another source.
    pub control_totals: Option<PathBuf>,
    /// Where the journal is.
    pub journal: PathBuf,
    /// Where the receipt goes.
    pub receipt: PathBuf,
    /// The batch to begin if the file is none yet; `None` to resume only.
    pub new: Option<NewBatch>,
    /// The policy to try when a lost journal is made again.
    pub policy: Policy,
    /// Limits of the upload.
    pub upload: UploadOptions,
    /// Whether a file without records is meant: "nothing today". Without this, and without control totals
    /// that confirm it, such a file is taken for an extract that went wrong.
    pub nothing: bool,
    /// How often gaps that the seal names are sent again; default 3.
    pub gap_rounds: u32,
    /// How long the issuer may work without getting on before the run ends; default 120 s.
    pub no_progress: Duration,
}

/// A run's file, manifest and journal.
pub(crate) struct Run<'a> {
    pub(crate) session: &'a Session,
    pub(crate) file: &'a Path,
    pub(crate) read: ReadOptions,
    pub(crate) options: &'a RunOptions,
    pub(crate) scan: &'a Scan,
    pub(crate) manifest: Manifest,
    pub(crate) digest: Digest,
    pub(crate) journal: Journal,
    /// Chunks that are durable, by the last answer to OpenBatch and the acknowledgements since.
    pub(crate) durable: Ranges,
}

/// How a run over one batch came out.
pub(crate) enum Came {
    /// With this outcome.
    To(Outcome),
    /// The batch had been given up before, so that its file may be another batch; otherwise with this
    /// outcome.
    GivenUp(Outcome),
    /// Its number was taken first and it is no batch, so that its file may have another number; otherwise
    /// with this outcome.
    Taken(Outcome),
}

/// Imports a file, or goes on with it.
///
/// # Errors
/// [`Error`]; what the issuer has acknowledged stays, and the same command goes on from there.
pub async fn import(session: &Session, file: &Path, options: &RunOptions) -> Result<Outcome, Error> {
    let (read, chunk_records) = as_begun(file, options).await?;
    let scanned = first_pass(session, file, &read, chunk_records, &options.journal).await?;
    if let Some(path) = &options.control_totals {
        let differences = ControlTotals::load(path, &read)?.differences(&scanned.totals);
        if !differences.is_empty() {
            let differences = differences.iter().map(ToString::to_string).collect();
            return Ok(Outcome::TotalsDiffer { batch_id: None, differences });
        }
    }
    let confirmed = options.nothing || options.control_totals.is_some();
    if scanned.totals.records == 0 && options.new.is_some() && !confirmed {
        return Err(Error::Conflict(format!(
            "{} has no record. If that is wrong, look at the program that wrote it; if there is nothing to \
             hand in, say so: `todoke import --nothing-today`",
            file.display()
        )));
    }
    // Whoever holds the journal may be writing the receipt, so nobody else touches it.
    let mut journal = Journal::open(&options.journal)?;
    let receipt = &options.receipt;
    receipts::check_writable(receipt).map_err(|source| Error::Write { path: receipt.clone(), source })?;
    let (mut once_more, mut numbers) = (options.new.is_some(), NUMBERS_MAX);
    loop {
        let known = Known { file, read: &read, scan: &scanned };
        let (manifest, begun) = plan(session, &known, journal, options.new.as_ref(), options.policy).await?;
        crash::point(Point::ClientBegun);
        let cut_up = cut_up_as(&manifest, session, &known, &options.journal).await?;
        let known = Known { scan: cut_up.as_ref().unwrap_or(&scanned), ..known };
        let mut run = Run::begin(session, &known, options, manifest, begun);
        match run.go().await? {
            // The journal says now that the batch ended, so the file is another one.
            Came::GivenUp(_) if once_more => (once_more, journal) = (false, run.journal),
            Came::Taken(_) if numbers > 0 => (numbers, journal) = (numbers - 1, run.journal),
            Came::To(outcome) | Came::GivenUp(outcome) | Came::Taken(outcome) => return Ok(outcome),
        }
    }
}

// A batch that was begun is read again as it was begun. Another content under the same name is another batch:
// what somebody accepted of the earlier one, such as a last line without its end, says nothing about this
// one.
async fn as_begun(file: &Path, options: &RunOptions) -> Result<(ReadOptions, u32), Error> {
    let told = (options.read.clone(), options.chunk_records);
    let entries = Journal::peek(&options.journal)?.unwrap_or_default();
    let Some(begun) = journal::begun(&entries) else { return Ok(told) };
    if journal::standing(&entries) == journal::Standing::Ended {
        return Ok(told);
    }
    let (path, asked) = (file.to_owned(), begun.clone());
    if !runtime::blocking(move || asked.is_of(&path)).await? {
        return Ok(told);
    }
    Ok((begun.read_options(), super::plan::manifest_of(begun)?.chunk_records))
}

pub(crate) async fn first_pass(
    session: &Session,
    file: &Path,
    read: &ReadOptions,
    chunk_records: u32,
    journal: &Path,
) -> Result<Scan, Error> {
    let (tell, path) = (session.tell.clone(), file.to_owned());
    let (read, journal) = (read.clone(), journal.to_owned());
    let scanned = runtime::blocking(move || {
        let mut tell = |records| tell(&Event::Scanning { records });
        scan(&path, &read, chunk_records, Some(&journal), &mut tell)
    })
    .await?;
    let totals = &scanned.totals;
    (session.tell)(&Event::Scanned {
        records: totals.records,
        households: totals.households,
        districts: totals.districts.len(),
    });
    Ok(scanned)
}

impl<'a> Run<'a> {
    fn begin(
        session: &'a Session,
        known: &Known<'a>,
        options: &'a RunOptions,
        manifest: Manifest,
        journal: Journal,
    ) -> Self {
        let digest = Digest::of(manifest.to_text().as_bytes());
        let chunks = known.scan.chunk_roots.len() as u64;
        let whole = journal::is_durable(journal.entries());
        let durable = if whole { all_of(chunks) } else { Ranges::default() };
        let Known { file, read, scan } = *known;
        Self { session, file, read: read.clone(), options, scan, manifest, digest, journal, durable }
    }

    async fn go(&mut self) -> Result<Came, Error> {
        let opened = match self.open().await? {
            Ok(opened) => opened,
            Err(refused) => return self.refused_at_first(refused).await,
        };
        let batch = opened.batch.clone().unwrap_or_default();
        if state_of(&batch) != pb::BatchState::Aborted {
            return self.go_on(opened, batch).await.map(Came::To);
        }
        let outcome = self.without_receipt(&batch).await?;
        let ended = matches!(outcome, Outcome::NotAccepted { .. });
        Ok(if ended { Came::GivenUp(outcome) } else { Came::To(outcome) })
    }

    // Goes on with an opened batch from wherever it is.
    async fn go_on(&mut self, opened: pb::OpenBatchResponse, batch: pb::Batch) -> Result<Outcome, Error> {
        let again = is_accepted(&batch);
        let open = matches!(state_of(&batch), pb::BatchState::Announced | pb::BatchState::Receiving);
        let batch = if open || (again && !self.is_durable()) {
            match self.complete(opened, again).await? {
                Ok(batch) => batch,
                Err(outcome) => return Ok(outcome),
            }
        } else {
            batch
        };
        let batch = match watch(self.session, &self.manifest, batch, self.options.no_progress).await? {
            Watched::Final(batch) => *batch,
            Watched::NotYet(why) => return Ok(self.try_again(why).await),
        };
        if is_accepted(&batch) {
            return receive(self, again).await;
        }
        self.without_receipt(&batch).await
    }

    // Opens the batch; a batch that the issuer refused to begin is no batch, and the journal says so.
    async fn open(&mut self) -> Result<Result<pb::OpenBatchResponse, Outcome>, Error> {
        let opened = match self.session.open_batch(&self.manifest, &self.scan.chunk_roots).await {
            Ok(opened) => opened,
            Err(error) => return self.not_opened(error).await.map(Err),
        };
        let uploader_epoch = opened.uploader_epoch;
        self.durable = durable_of(&opened);
        self.journal.append(Entry::Opened { uploader_epoch })?;
        (self.session.tell)(&Event::Opened {
            batch_id: self.manifest.batch_id.to_string(),
            sequence: self.manifest.sequence,
            created: opened.created,
            durable_records: self.scan.records_in(&self.durable),
            records: self.scan.totals.records,
        });
        Ok(Ok(opened))
    }

    async fn not_opened(&mut self, error: CallError) -> Result<Outcome, Error> {
        if error.transient {
            // Whoever does not answer this does not say either what is missing.
            let (batch_id, why) = (self.manifest.batch_id.to_string(), error.to_string());
            return Ok(Outcome::TryAgain { batch_id, why, gaps: self.gaps_by_file().await });
        }
        let Some(fault) = error.fault.clone() else { return Err(error.into()) };
        if !self.was_opened() && fault.reason != Reason::SequenceReused {
            self.journal.append(Entry::Ended { reason: fault.reason.as_str().to_owned() })?;
        }
        Ok(self.refused(&fault))
    }

    // Uploads and seals, and sends again what is missing after all. An accepted batch of which the issuer has
    // lost chunks is made whole alike, and nothing else of it changes.
    async fn complete(
        &mut self,
        opened: pb::OpenBatchResponse,
        accepted: bool,
    ) -> Result<Result<pb::Batch, Outcome>, Error> {
        let mut opened = opened;
        for round in 0..=self.options.gap_rounds {
            let said = match self.send(&opened).await? {
                Ok(said) => said,
                Err(outcome) => return Ok(Err(outcome)),
            };
            if !accepted {
                match self.sealed(round).await? {
                    Ok(Some(batch)) => return Ok(Ok(batch)),
                    Ok(None) => (),
                    Err(outcome) => return Ok(Err(outcome)),
                }
            }
            opened = match self.open().await? {
                Ok(opened) => opened,
                Err(outcome) => return Ok(Err(outcome)),
            };
            if accepted && self.is_durable() {
                return Ok(Ok(opened.batch.unwrap_or_default()));
            }
            if accepted || !is_damaged(&opened) {
                self.find_liars(&said);
            }
        }
        let gaps = self.gaps().await;
        Ok(Err(Outcome::Gaps { batch_id: self.manifest.batch_id.to_string(), gaps }))
    }

    // Seals the batch; `None` if some of it is missing.
    async fn sealed(&mut self, round: u32) -> Result<Result<Option<pb::Batch>, Outcome>, Error> {
        (self.session.tell)(&Event::Sealing { round });
        let error = match self.seal().await {
            Ok(batch) => {
                self.journal.append(Entry::Sealed)?;
                return Ok(Ok(Some(batch)));
            }
            Err(error) => error,
        };
        match &error.fault {
            Some(fault) if fault.reason == Reason::BatchHasGaps => Ok(Ok(None)),
            Some(fault) if fault.reason == Reason::ControlTotalMismatch => {
                self.totals_differ(fault).await.map(Err)
            }
            _ if error.transient => Ok(Err(self.try_again(error.to_string()).await)),
            Some(fault) => Ok(Err(self.refused(fault))),
            None => Err(error.into()),
        }
    }

    fn is_durable(&self) -> bool {
        self.durable.missing(self.scan.chunk_roots.len() as u64).is_empty()
    }

    // A relay that passed on an acknowledgement for what the issuer does not have made it up: the issuer
    // gives none before COMMIT.
    fn find_liars(&self, said: &BTreeMap<usize, Ranges>) {
        let missing = self.durable.missing(self.scan.chunk_roots.len() as u64);
        for (relay, ranges) in said {
            if missing.iter().any(|(first, last)| ranges.touches(first, last)) {
                self.session.caller.picker().distrust(*relay);
            }
        }
    }

    // Uploads what is not durable; returns which relay said what of it is now.
    async fn send(
        &mut self,
        opened: &pb::OpenBatchResponse,
    ) -> Result<Result<BTreeMap<usize, Ranges>, Outcome>, Error> {
        let start = StreamStart {
            batch_id: self.manifest.batch_id,
            manifest_digest: self.digest,
            uploader_epoch: opened.uploader_epoch,
        };
        let sending = Upload {
            caller: &self.session.caller,
            path: self.file,
            read: &self.read,
            scan: self.scan,
            start,
            options: &self.options.upload,
            tell: &self.session.tell,
        };
        let why = match upload(&sending, &mut self.durable).await {
            Ok(Uploaded::Complete(said)) => {
                let chunks = self.scan.chunk_roots.len() as u64;
                self.journal.append(Entry::Durable { chunks })?;
                self.durable = all_of(chunks);
                return Ok(Ok(said));
            }
            Ok(Uploaded::Cut) => "stopped, as if cut, after the records that were asked for".to_owned(),
            Err(UploadError::Input(fault)) => return Err(fault.into()),
            Err(UploadError::Refused(fault)) => return Ok(Err(self.refused(&fault))),
            Err(UploadError::NotServed(error)) => return Err(error.into()),
            Err(UploadError::GaveUp(status)) => {
                format!("nothing more became durable: {:?}: {}", status.code(), status.message())
            }
        };
        Ok(Err(self.try_again(why).await))
    }
}

fn all_of(chunks: u64) -> Ranges {
    Ranges::default().missing(chunks)
}

/// Whether the issuer says that it has lost what it acknowledged: then no relay has lied.
fn is_damaged(opened: &pb::OpenBatchResponse) -> bool {
    opened.batch.iter().flat_map(|batch| &batch.flags).any(|flag| flag.name == "damaged")
}

/// The chunks that OpenBatch said are durable.
fn durable_of(opened: &pb::OpenBatchResponse) -> Ranges {
    let mut durable = Ranges::default();
    for range in &opened.durable_chunks {
        durable.insert_range(u64::from(range.first), u64::from(range.last));
    }
    durable
}

/// The batch's state; unspecified when the issuer is newer than this client.
pub(crate) fn state_of(batch: &pb::Batch) -> pb::BatchState {
    pb::BatchState::try_from(batch.state).unwrap_or(pb::BatchState::Unspecified)
}

pub(crate) fn is_accepted(batch: &pb::Batch) -> bool {
    matches!(state_of(batch), pb::BatchState::Accepted | pb::BatchState::AcceptedWithRejects)
}

#[cfg(test)]
#[path = "flow_tests/mod.rs"]
mod tests;
