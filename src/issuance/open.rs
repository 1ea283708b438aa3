//! A batch is opened only by its own municipality, over a manifest that it signed; opening it again changes
//! nothing but the uploader's epoch.

use std::time::Duration;

use crate::{
    crash::{self, Point},
    domain::{
        abort::Statement, batch_id::BatchId, digest::Digest, identity::Identity, manifest::Manifest, merkle,
        municipality::MunicipalityCode,
    },
    net::tls,
    store::{self, BatchRow, Forgotten, NewBatch, Opened},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    core::{Core, store_fault, whole_manifest},
    ledger,
    options::ms,
};

/// Most certificates in a chain that is sent along.
const CHAIN_MAX: usize = 8;
/// Most bytes of one certificate or signature.
const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

/// A batch that stands open for chunks.
pub(crate) struct OpenedBatch {
    pub(crate) row: BatchRow,
    pub(crate) created: bool,
}

/// Opens a batch, or the same one again.
pub(crate) async fn open(
    core: &Core,
    caller: MunicipalityCode,
    request: &pb::OpenBatchRequest,
) -> Result<OpenedBatch, Fault> {
    let manifest = parse(&request.manifest)?;
    own(caller, manifest.municipality)?;
    signed(core, caller, &request.certificate_chain, &request.manifest, &request.signature)?;
    let chunk_roots = chunk_roots(&manifest, &request.chunk_roots)?;
    let (_, wrapped_key) =
        core.vault.new_data_key(manifest.municipality, manifest.batch_id).map_err(|error| {
            tracing::error!(%error, "cannot make a data key");
            Fault::new(Reason::Internal, "no data key could be made: tell the operator")
        })?;
    let now_ms = core.clock.now_ms();
    promised_soon(&manifest, now_ms, core.options.seal_by_max)?;
    let open_max = core.options.caller_open_batches_max;
    let ahead_max = core.options.sequence_ahead_max;
    let new = NewBatch {
        manifest: &manifest,
        manifest_bytes: &request.manifest,
        signature: &request.signature,
        certificate_chain: &request.certificate_chain,
        chunk_roots: &chunk_roots,
        wrapped_key,
        now_ms,
        open_max,
        ahead_max,
    };
    let opened = core.store.open_batch(&new).await.map_err(store_fault)?;
    crash::point(Point::BatchOpened);
    core.changed(manifest.municipality, manifest.batch_id);
    let id = manifest.batch_id;
    match opened {
        Opened::Created(row) => {
            tracing::info!(municipality.code = %caller, batch.id = %id, records = row.record_count,
                "batch {id} of {caller} announced");
            Ok(OpenedBatch { row, created: true })
        }
        Opened::Again(row) => mended(core, row, &new).await,
        Opened::IdReused => Err(Fault::new(
            Reason::BatchIdReused,
            format!("batch {id} stands with another manifest: use a new batch id for new content"),
        )),
        Opened::SequenceReused => Err(sequence_reused(manifest.sequence)),
        Opened::TooFarAhead(last) => Err(too_far_ahead(&manifest, last, ahead_max)),
        Opened::Forgotten(why) => Err(forgotten(caller, id, why)),
        Opened::TooManyOpen => Err(Fault::new(
            Reason::TooManyOpenBatches,
            format!("{caller} has {open_max} batches open, and may have no more: finish or abort some first"),
        )
        .with("limit", open_max.to_string())),
    }
}

/// What keeps a batch from being opened after this database was restored from a backup.
fn forgotten(caller: MunicipalityCode, id: BatchId, why: Forgotten) -> Fault {
    match why {
        Forgotten::ReconcileFirst => Fault::new(
            Reason::ReconcileFirst,
            format!(
                "the issuer's database was restored from a backup: nothing new is taken from {caller} until \
                 its receipts were compared, or the issuer's operator released it. Run `todoke reconcile \
                 --all FILES` with every file that has one; if those are lost, ask for `todoke restore \
                 release {caller}`"
            ),
        ),
        Forgotten::ReceiptUnknown => {
            // It names what we cannot have forgotten unless this database is an older one.
            tracing::error!(municipality.code = %caller, batch.id = %id,
                "batch {id} of {caller} names a receipt as the one before that is not here");
            let words = format!(
                "the receipt that batch {id} names as the one before is not known here: run `todoke \
                 reconcile --all FILES` with every file that has a receipt"
            );
            Fault::new(Reason::ReconcileFirst, words)
                .violation("manifest.previous-receipt", "no receipt of this municipality has this digest")
        }
        Forgotten::LostBefore(sequence) => {
            let words =
                format!("the lost batch of sequence {sequence} comes first: send it again, then this one");
            Fault::new(Reason::ReconcileFirst, words).with("sequence", sequence.to_string())
        }
    }
}

/// Puts the signed manifest that came again in place of the stored one, if that was damaged, and has the
/// batch count what is stored.
async fn mended(core: &Core, row: BatchRow, new: &NewBatch<'_>) -> Result<OpenedBatch, Fault> {
    let whole = match core.store.manifest(row.municipality, row.batch_id).await {
        Ok(Some(stored)) => {
            let own = stored.certificate_chain.first();
            whole_manifest(&row, &stored).is_ok()
                && own.is_some_and(|own| tls::verify_signature(own, &stored.bytes, &stored.signature).is_ok())
        }
        Ok(None) | Err(store::Error::Corrupt(_)) => false,
        Err(error) => return Err(store_fault(error)),
    };
    let id = row.batch_id;
    if !whole && core.store.replace_manifest(new).await.map_err(store_fault)? {
        tracing::warn!(municipality.code = %row.municipality, batch.id = %id,
            "the manifest of batch {id} was damaged in the database; its sender's own stands in its place");
    }
    if ledger::set_right(core, row.municipality, id).await? {
        // The epoch stays the one that this call was given: another may have been given since.
        let uploader_epoch = row.uploader_epoch;
        let row = BatchRow { uploader_epoch, ..core.batch(row.municipality, id).await? };
        return Ok(OpenedBatch { row, created: false });
    }
    Ok(OpenedBatch { row, created: false })
}

fn parse(bytes: &[u8]) -> Result<Manifest, Fault> {
    Manifest::parse(bytes).map_err(|fault| {
        Fault::new(Reason::ManifestInvalid, format!("the manifest is invalid: {fault}"))
            .violation(format!("manifest.{}", fault.field), fault.problem.clone())
            .with("line", fault.line.to_string())
    })
}

/// Refuses a batch that could lie about unsealed for so long that nobody would be told in time.
fn promised_soon(manifest: &Manifest, now_ms: i64, max: Duration) -> Result<(), Fault> {
    if manifest.seal_by_ms.saturating_sub(now_ms) <= ms(max) {
        return Ok(());
    }
    let days = max.as_secs() / 86_400;
    let words = format!("the moment is more than {days} days away: promise one that is nearer");
    Err(Fault::new(Reason::ManifestInvalid, format!("the manifest is invalid: seal-by: {words}"))
        .violation("manifest.seal-by", words))
}

fn sequence_reused(sequence: u64) -> Fault {
    let words = format!("sequence {sequence} belongs to another batch: ListBatches tells the last one");
    Fault::new(Reason::SequenceReused, words).with("sequence", sequence.to_string())
}

// A sequence is for ever, and each number that is left out stays a hole: whoever slips must be stopped.
fn too_far_ahead(manifest: &Manifest, last: u64, max: u64) -> Fault {
    let words = format!(
        "{} is more than {max} above the last one, which is {last}: send the batches in between first",
        manifest.sequence
    );
    Fault::new(Reason::ManifestInvalid, format!("the manifest is invalid: sequence: {words}"))
        .violation("manifest.sequence", words)
        .with("last", last.to_string())
        .with("limit", max.to_string())
}

fn own(caller: MunicipalityCode, named: MunicipalityCode) -> Result<(), Fault> {
    if caller == named {
        return Ok(());
    }
    let words = format!("{caller} may not speak for {named}: use the certificate of {named}");
    Err(Fault::new(Reason::OtherMunicipality, words))
}

/// Checks that `message` was signed by the caller itself, whatever stands between it and here.
pub(crate) fn signed(
    core: &Core,
    caller: MunicipalityCode,
    chain: &[Vec<u8>],
    message: &[u8],
    signature: &[u8],
) -> Result<(), Fault> {
    let refuse = |words: String| Fault::new(Reason::SignatureInvalid, words);
    if chain.is_empty() || chain.len() > CHAIN_MAX {
        return Err(refuse(format!("send 1 to {CHAIN_MAX} certificates, the sender's own first")));
    }
    if chain.iter().any(|c| c.len() > CERTIFICATE_BYTES_MAX) || signature.len() > CERTIFICATE_BYTES_MAX {
        return Err(refuse(format!("no certificate or signature may be over {CERTIFICATE_BYTES_MAX} bytes")));
    }
    let signer: Identity = core
        .tls
        .verify_chain(chain, core.clock.now_ms())
        .map_err(|error| refuse(format!("the certificate chain is not believed: {error}")))?;
    if signer.municipality() != Some(caller) {
        return Err(refuse(format!("it is signed by {signer}, not by municipality/{caller}")));
    }
    tls::verify_signature(&chain[0], message, signature).map_err(|error| {
        refuse(format!("the signature is not one of these bytes by this certificate: {error}"))
    })
}

fn chunk_roots(manifest: &Manifest, roots: &[Vec<u8>]) -> Result<Vec<Digest>, Fault> {
    let invalid = |words: String| {
        Fault::new(Reason::ManifestInvalid, format!("chunk_roots: {words}")).violation("chunk_roots", words)
    };
    if roots.len() != manifest.chunk_count() as usize {
        return Err(invalid(format!("{} are needed, {} came", manifest.chunk_count(), roots.len())));
    }
    let digests: Option<Vec<Digest>> = roots.iter().map(|root| Digest::from_slice(root)).collect();
    let digests = digests.ok_or_else(|| invalid("each must be 32 bytes".to_owned()))?;
    if merkle::root(&digests) != manifest.totals.merkle_root {
        return Err(invalid("they do not fold to the manifest's merkle-root".to_owned()));
    }
    Ok(digests)
}

/// Reads and checks the statement that gives a batch up.
pub(crate) fn statement(
    core: &Core,
    caller: MunicipalityCode,
    request: &pb::AbortBatchRequest,
) -> Result<Statement, Fault> {
    let statement = Statement::parse(&request.statement).map_err(|fault| {
        let reason = if fault.field == "reason" { Reason::ReasonRequired } else { Reason::FieldInvalid };
        Fault::new(reason, format!("the statement is invalid: {fault}"))
            .violation(format!("statement.{}", fault.field), fault.problem.clone())
    })?;
    own(caller, statement.municipality)?;
    signed(core, caller, &request.certificate_chain, &request.statement, &request.signature)?;
    Ok(statement)
}
