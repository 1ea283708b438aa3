//! Every stable reason a call can fail for, with its gRPC code, whose fault it is, and whether it may be sent
//! again.

use tonic::Code;

/// Who must act before the call can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The caller, by changing what it sends.
    Caller,
    /// A human, because two statements contradict each other.
    Human,
    /// Nobody: waiting is enough.
    Nobody,
    /// The operator of the system.
    Operator,
}

impl Actor {
    fn as_str(self) -> &'static str {
        match self {
            Actor::Caller => "caller",
            Actor::Human => "a human decides",
            Actor::Nobody => "wait",
            Actor::Operator => "operator",
        }
    }
}

macro_rules! reasons {
    ($($variant:ident = $text:literal, $code:ident, $actor:ident, $safe:literal, $todo:literal;)*) => {
        /// Why a call failed. The text is stable, survives every hop, and is what programs compare.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $(#[doc = $todo] $variant,)* }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            /// The stable text, as in `google.rpc.ErrorInfo.reason`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $text,)* }
            }

            /// The gRPC code it travels under.
            #[must_use]
            pub fn code(self) -> Code {
                match self { $(Reason::$variant => Code::$code,)* }
            }

            /// Who must act.
            #[must_use]
            pub fn actor(self) -> Actor {
                match self { $(Reason::$variant => Actor::$actor,)* }
            }

            /// Whether the very same call may be sent again without anybody having changed anything.
            #[must_use]
            pub fn safe_to_retry(self) -> bool {
                match self { $(Reason::$variant => $safe,)* }
            }

            /// What the caller does about it.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Reason::$variant => $todo,)* }
            }

            fn code_name(self) -> &'static str {
                match self { $(Reason::$variant => stringify!($code),)* }
            }
        }
    };
}

reasons! {
    ManifestInvalid = "MANIFEST_INVALID", InvalidArgument, Caller, false,
        "Mend the manifest: the violations name line and field.";
    SignatureInvalid = "SIGNATURE_INVALID", PermissionDenied, Caller, false,
        "Sign the exact bytes with the key of the certificate that is sent, and send its whole chain.";
    OtherMunicipality = "OTHER_MUNICIPALITY", PermissionDenied, Caller, false,
        "Use the certificate of the municipality that the batch belongs to.";
    BatchIdReused = "BATCH_ID_REUSED", FailedPrecondition, Human, false,
        "Stop: another manifest stands under this batch_id; make a new batch_id for new content.";
    SequenceReused = "SEQUENCE_REUSED", FailedPrecondition, Human, false,
        "Stop: another batch has this sequence; ask ListBatches (`todoke status`) for the last one.";
    TooManyOpenBatches = "TOO_MANY_OPEN_BATCHES", FailedPrecondition, Caller, false,
        "Finish or abort batches first: ListBatches (`todoke status`) tells which are open.";
    ReconcileFirst = "RECONCILE_FIRST", FailedPrecondition, Caller, false,
        "A backup was restored: compare all receipts (CompareReceipts, `todoke reconcile --all FILES`) and \
         send what is lost; if the files are lost, ask the operator for `todoke restore release`.";
    ReceiptInvalid = "RECEIPT_INVALID", InvalidArgument, Caller, false,
        "Send receipts as they came: each must be a note that this issuer signed, of the caller's own batch.";
    LimitExceeded = "LIMIT_EXCEEDED", InvalidArgument, Caller, false,
        "Make it smaller: the message names the limit.";
    UploaderFenced = "UPLOADER_FENCED", Aborted, Caller, false,
        "Stop: another uploader opened the batch later; ask for its status.";
    BatchSealed = "BATCH_SEALED", FailedPrecondition, Caller, false,
        "Stop sending chunks: the batch is sealed.";
    ChunkContentConflict = "CHUNK_CONTENT_CONFLICT", FailedPrecondition, Human, false,
        "Stop: this chunk is not the one announced when the batch was opened; the conflict is recorded.";
    ChunkOutsideManifest = "CHUNK_OUTSIDE_MANIFEST", OutOfRange, Caller, false,
        "Mend the sender: chunk number or record count is outside the manifest's grid.";
    ChunkDigestMismatch = "CHUNK_DIGEST_MISMATCH", DataLoss, Nobody, true,
        "Send the chunk again, at most three times: it was changed on the way.";
    ChunkInvalid = "CHUNK_INVALID", InvalidArgument, Caller, false,
        "Mend the record that the message names: its structure is broken.";
    BatchHasGaps = "BATCH_HAS_GAPS", FailedPrecondition, Caller, false,
        "Send the ranges that are missing (metadata, or ListGaps for all of them), then seal again.";
    ControlTotalMismatch = "CONTROL_TOTAL_MISMATCH", DataLoss, Human, false,
        "Compare the totals named: what is stored is not what was declared; the batch is DISCREPANT.";
    NotFound = "NOT_FOUND", NotFound, Caller, false,
        "Check the id: nothing of the caller's own has it.";
    RecordNotFound = "RECORD_NOT_FOUND", NotFound, Caller, false,
        "Check index or order_id: the batch holds no such record.";
    PageTokenInvalid = "PAGE_TOKEN_INVALID", InvalidArgument, Caller, false,
        "Start again from the first page, with an empty page_token.";
    FieldInvalid = "FIELD_INVALID", InvalidArgument, Caller, false,
        "Mend the fields that the violations name.";
    ReceiptNotReady = "RECEIPT_NOT_READY", FailedPrecondition, Nobody, true,
        "Wait until the batch is ACCEPTED (WatchBatch); if it is DISCREPANT or ABORTED, waiting is in vain.";
    BatchState = "BATCH_STATE", FailedPrecondition, Caller, false,
        "Ask GetBatch (`todoke status`): the batch's state does not allow this.";
    ItemState = "ITEM_STATE", FailedPrecondition, Caller, false,
        "Ask for the item as it stands: its state does not allow this, and the message says why.";
    OrderInEnvelope = "ORDER_IN_ENVELOPE", FailedPrecondition, Human, false,
        "Look at both envelopes: another one was reported with this card.";
    OtherCard = "OTHER_CARD", FailedPrecondition, Human, false,
        "End the person's other card first, or name it to be surrendered with this call.";
    OtherApplication = "OTHER_APPLICATION", FailedPrecondition, Human, false,
        "Look at the person's other application: one of the two has to be voided.";
    IdentityNotProved = "IDENTITY_NOT_PROVED", FailedPrecondition, Caller, false,
        "Ask for a document with a photograph, or two others: a notification card proves a number only.";
    HouseholdSwapSuspected = "HOUSEHOLD_SWAP_SUSPECTED", FailedPrecondition, Human, false,
        "Compare each reason with the papers, and confirm it (ReviewApplication) before a card is made.";
    ChipProofInvalid = "CHIP_PROOF_INVALID", FailedPrecondition, Human, false,
        "Ask QueryActivation for the next step: the chip's statement is not signed by this card's chip.";
    QuotaUsedUp = "QUOTA_USED_UP", FailedPrecondition, Operator, false,
        "Orders wait: have blank cards allocated (`todoke production allocate`).";
    LookupsLimited = "LOOKUPS_LIMITED", ResourceExhausted, Nobody, true,
        "Wait as long as RetryInfo says: too many application IDs were wrong.";
    RequestIdReused = "REQUEST_ID_REUSED", FailedPrecondition, Caller, false,
        "Use a new request_id: this one stands for another request.";
    ReasonRequired = "REASON_REQUIRED", InvalidArgument, Caller, false,
        "Say why, in 1 to 500 characters.";
    PurposeRequired = "PURPOSE_REQUIRED", InvalidArgument, Caller, false,
        "State the purpose: personal data is not read without one.";
    WrongRole = "WRONG_ROLE", PermissionDenied, Caller, false,
        "Use a certificate of a role that may make this call.";
    IdentityMissing = "IDENTITY_MISSING", Unauthenticated, Caller, false,
        "Connect with a client certificate that names one identity.";
    IdentityForged = "IDENTITY_FORGED", PermissionDenied, Caller, false,
        "Leave the caller header out: only a relay may send it.";
    TenantRateLimit = "TENANT_RATE_LIMIT", ResourceExhausted, Nobody, true,
        "Wait as long as RetryInfo says.";
    LaneFull = "LANE_FULL", ResourceExhausted, Nobody, true,
        "Wait as long as RetryInfo says.";
    TerminalLimit = "TERMINAL_LIMIT", ResourceExhausted, Nobody, true,
        "Wait as long as RetryInfo says: the caller has as many calls of this kind under way as it may.";
    OutcomeUnknown = "OUTCOME_UNKNOWN", Unavailable, Nobody, true,
        "Ask again under the same key, and assume nothing: it may have been done.";
    Draining = "DRAINING", Unavailable, Nobody, true,
        "Go to another node: this one is about to stop.";
    UpstreamUnavailable = "UPSTREAM_UNAVAILABLE", Unavailable, Nobody, true,
        "Wait as long as RetryInfo says, then try another relay.";
    DeadlineExceeded = "DEADLINE_EXCEEDED", DeadlineExceeded, Nobody, true,
        "Ask again with a longer deadline: nothing says how far it came.";
    UnitUnknown = "UNIT_UNKNOWN", NotFound, Caller, false,
        "Check the unit's name (`todoke pool list`), or register it first.";
    GenerationStale = "GENERATION_STALE", Unavailable, Operator, true,
        "Go to another relay. End this one if a later process serves under its name, else start it anew.";
    RelayFenced = "RELAY_FENCED", Unavailable, Nobody, true,
        "Go to another relay: this one holds no lease.";
    OrderRefused = "ORDER_REFUSED", FailedPrecondition, Human, false,
        "Read why, and what would be needed; `todoke pool explain` says more.";
    DatabaseAway = "DATABASE_AWAY", Unavailable, Nobody, true,
        "Try again when the database is back: without it no unit is let in or taken out.";
    ViewNotReady = "VIEW_NOT_READY", Unavailable, Nobody, true,
        "Try again in a second: nothing is known of the pool yet.";
    Internal = "INTERNAL", Internal, Operator, false,
        "Tell the operator, with the time of the call: the log says more.";
}

impl Reason {
    /// Finds the reason that a text stands for.
    #[must_use]
    pub fn parse(text: &str) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| reason.as_str() == text)
    }
}

fn screaming(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for (at, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

/// Returns the error table of proto/README.md, in Markdown; a test holds the file to it.
#[must_use]
pub fn table() -> String {
    let mut out = String::from("| Reason | Code | Who acts | Safe to retry? | What to do |\n");
    out.push_str("| --- | --- | --- | --- | --- |\n");
    for reason in Reason::ALL {
        let safe = if reason.safe_to_retry() { "yes" } else { "no" };
        out.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            reason.as_str(),
            screaming(reason.code_name()),
            reason.actor().as_str(),
            safe,
            reason.remedy(),
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_table_of_the_readme_is_this_one() {
        let readme = include_str!("../../proto/README.md");
        assert!(readme.contains(&table()), "put this into proto/README.md:\n{}", table());
    }
}
