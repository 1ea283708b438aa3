//! A batch whose number another one has taken: its file gets the next number, once it is certain that the
//! issuer has nothing of it.

use super::{
    error::Error,
    events::Event,
    flow::{Came, Run},
    journal::Entry,
    outcome::Outcome,
    plan::given_up,
};
use crate::wire::fault::Reason;

/// How many further numbers one run tries; who is beaten to each of them is told to run again.
pub(crate) const NUMBERS_MAX: u32 = 8;

impl Run<'_> {
    /// Whether the issuer has ever known the batch.
    pub(crate) fn was_opened(&self) -> bool {
        self.journal.entries().iter().any(|entry| matches!(entry, Entry::Opened { .. }))
    }

    /// How a run came out whose batch was not opened. If that is because its number belongs to another batch
    /// and the issuer has nothing of this one, the journal says that it has ended, and its file may be begun
    /// with the next number, unless somebody asked for this very one.
    ///
    /// # Errors
    /// [`Error`] if nobody can be asked whether the issuer has something of the batch.
    pub(crate) async fn refused_at_first(&mut self, refused: Outcome) -> Result<Came, Error> {
        let Outcome::Refused { batch_id, reason, message, .. } = &refused else {
            return Ok(Came::To(refused));
        };
        if reason != Reason::SequenceReused.as_str() {
            return Ok(Came::To(refused));
        }
        let (batch_id, reason, message) = (batch_id.clone(), reason.clone(), message.clone());
        let say = |remedy: String| Outcome::Refused { batch_id, reason, message, remedy };
        let (file, lost) = (self.file.display(), self.was_opened());
        if !self.is_nowhere().await? {
            return Ok(Came::To(say(format!(
                "Stop: another batch has the number, and it is not certain that the issuer has nothing of \
                 this one. Run `todoke resume {file}` again when more relays answer; if it stays so, tell \
                 the operator of the issuer"
            ))));
        }
        self.journal.append(Entry::Ended { reason: Reason::SequenceReused.as_str().to_owned() })?;
        let Some(new) = &self.options.new else {
            return Ok(Came::To(say(format!(
                "`todoke import {file}`: the issuer has nothing of this batch, so that begins another one of \
                 the file with the next number"
            ))));
        };
        if new.sequence.is_some() {
            let next = format!("`todoke import {file}` without --sequence takes the next free number");
            return Ok(Came::To(say(next)));
        }
        (self.session.tell)(&Event::NumberTaken { sequence: self.manifest.sequence, lost });
        let next = format!("`todoke import {file}` again: it takes the next number");
        Ok(Came::Taken(say(next)))
    }

    // Whether the issuer has nothing of the batch: nobody knows its id, and if it was known once, its number
    // is another's by two relays. What has a receipt is never begun again.
    async fn is_nowhere(&self) -> Result<bool, Error> {
        if self.journal.entries().iter().any(|entry| matches!(entry, Entry::Receipt { .. })) {
            return Ok(false);
        }
        if given_up(self.session, &self.manifest).await?.as_deref() != Some("NEVER_OPENED") {
            return Ok(false);
        }
        let Self { session, manifest, .. } = self;
        Ok(!self.was_opened() || session.is_taken(manifest.batch_id, manifest.sequence).await?)
    }
}
