//! The client goes by the pool's view: what it believes of it is signed by the issuer's key and never older
//! than what it knew, is kept for the next start, and never leaves it without a relay.
//!
//! It asks one relay after the other, at once after a call has failed, and all of them while none answers. A
//! relay that it was given keeps the address that it was given with. One that only the view names is used
//! once it has answered itself, and the channel to it is made as to the others.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tonic::{Code, Request, Status, transport::Channel};

use super::{
    calls::Caller,
    events::{Event, Tell},
    kept_view,
    picker::{Picker, Use},
    retry::Dice,
};
use crate::{
    domain::{
        note::VerifierKey,
        pool_notes::{Member, NOTE_BYTES_MAX, View},
    },
    runtime,
    wire::{
        fault::{Fault, Reason},
        pb::{GetViewRequest, pool_service_client::PoolServiceClient},
    },
};

/// How often a relay is asked while calls go well, give or take a tenth.
const EVERY: Duration = Duration::from_secs(10);
/// The shortest time between two times of asking.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// The longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Most relays that are known by one process, with those that are gone.
const RELAYS_MAX: usize = 256;

/// Makes a channel to an address, as to the relays that the client was given; `None` if there can be none.
pub(crate) type Connect = Box<dyn Fn(&str) -> Option<Channel> + Send + Sync>;

/// A relay, by its index.
#[derive(Debug)]
struct Relay {
    name: String,
    /// Where the view says that it is; `None` for one that the client was given.
    address: Option<String>,
    /// Whether any view named it.
    was_named: bool,
    /// Whether it may be used: it was given, or it has answered.
    is_known: bool,
    /// Whether there is any sense in asking it.
    is_gone: bool,
}

/// Follows the view.
pub(crate) struct Follower {
    caller: Caller,
    key: VerifierKey,
    file: PathBuf,
    connect: Connect,
    tell: Tell,
    dice: Dice,
    relays: Vec<Relay>,
    known: Option<View>,
    /// Whose turn it is to be asked.
    turn: usize,
    /// What was said already, so that it is said once.
    told: BTreeSet<String>,
    /// Whether a view was heard and is kept, or one who was asked has none to give, or nobody answered.
    settled: watch::Sender<bool>,
}

/// A follower at work, until this is dropped.
#[derive(Default)]
pub(super) struct Following {
    tasks: JoinSet<()>,
    /// Who calls, and whether the view is settled; none of who follows nothing.
    of: Option<(Picker, watch::Receiver<bool>)>,
}

impl Following {
    /// Has the view followed from the first call on.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn start(follower: Follower) -> Self {
        let (picker, settled) = (follower.caller.picker().clone(), follower.settled.subscribe());
        let (mut tasks, calls) = (JoinSet::new(), picker.clone());
        tasks.spawn(async move {
            // Who has sent nothing yet, and may have nothing to send, connects to nobody.
            calls.first_use().await;
            follower.run().await;
        });
        Self { tasks, of: Some((picker, settled)) }
    }

    /// Ends it once the view of the first asking is kept, or a relay has none to give: those that are silent
    /// are not waited for then. `false` if neither was so `within` that time. Who has sent nothing waits for
    /// nothing.
    pub(super) async fn end(self, within: Duration) -> bool {
        let Self { tasks: _until_then, of } = self;
        match of {
            Some((picker, mut settled)) if picker.was_used() => {
                timeout(within, settled.wait_for(|settled| *settled)).await.is_ok()
            }
            _ => true,
        }
    }
}

impl Follower {
    /// Begins with the view that was kept in `file`, if there is one to believe. The caller has the relays of
    /// these names, in this order.
    pub(crate) fn begin(
        caller: Caller,
        names: impl IntoIterator<Item = String>,
        key: VerifierKey,
        file: PathBuf,
        connect: Connect,
        (tell, seed): (Tell, u64),
    ) -> Self {
        let given = |name| Relay { name, address: None, was_named: false, is_known: true, is_gone: false };
        let relays = names.into_iter().map(given).collect();
        let (dice, known, told) = (Dice::new(seed ^ 0x71E3), None, BTreeSet::new());
        let settled = watch::Sender::new(false);
        let mut follower =
            Self { caller, key, file, connect, tell, dice, relays, known, turn: 0, told, settled };
        match kept_view::read(&follower.file, &follower.key) {
            Ok(Some(view)) => follower.take(view, false),
            Ok(None) => (),
            Err(error) => follower.ignore(&format!("the view that was kept: {error}")),
        }
        follower
    }

    /// Asks for the view until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut unanswered = 0u32;
        loop {
            let asked = Instant::now();
            unanswered =
                if self.ask(unanswered == 0 && self.known.is_some()).await { 0 } else { unanswered + 1 };
            if unanswered > 0 {
                let wait = AT_MOST_EVERY.saturating_mul(1 << (unanswered - 1).min(8)).min(EVERY);
                sleep(wait).await;
                continue;
            }
            let tenths = u32::try_from(self.dice.below(21)).expect("it is small");
            let due = asked + EVERY / 100 * (90 + tenths);
            tokio::select! {
                () = sleep_until(due) => (),
                () = self.caller.picker().failure() => sleep_until(asked + AT_MOST_EVERY).await,
            }
        }
    }

    /// Asks the relay whose turn it is, with those that are not known yet, or all of them; whether any
    /// answered.
    async fn ask(&mut self, in_turn: bool) -> bool {
        let count = self.relays.len();
        let mut asked: Vec<usize> = (0..count).filter(|at| !self.relays[*at].is_gone).collect();
        if in_turn {
            let next = (self.turn + 1..=self.turn + count).map(|at| at % count);
            self.turn = next.into_iter().find(|at| asked.contains(at)).unwrap_or_default();
            asked.retain(|at| *at == self.turn || !self.relays[*at].is_known);
        }
        let answer = |at: usize| {
            let channel = self.caller.channel_at(at);
            async move { (at, get(channel).await) }
        };
        let mut answers: FuturesUnordered<_> = asked.into_iter().map(answer).collect();
        let mut any = false;
        while let Some((at, answer)) = answers.next().await {
            match answer {
                Ok(note) => {
                    any |= self.hear(at, note).await;
                    self.settled.send_replace(any);
                }
                Err(status) => {
                    tracing::debug!("no view over {}: {}", self.relays[at].name, status.message());
                    if says_that_there_is_none(&status) {
                        self.settled.send_replace(true);
                    }
                }
            }
        }
        self.settled.send_replace(true);
        any
    }

    /// Looks at what came over a relay; whether it is a view that is signed, of whatever age.
    async fn hear(&mut self, at: usize, note: Vec<u8>) -> bool {
        let relay = self.relays[at].name.clone();
        let view = match View::open(&note, &self.key) {
            Ok(view) if view.is_usable() => view,
            Ok(_) => {
                self.ignore(&format!("the view that came over {relay} names nobody to use"));
                return false;
            }
            Err(error) => {
                self.ignore(&format!("the view that came over {relay}: {error}"));
                return false;
            }
        };
        let is_new = !std::mem::replace(&mut self.relays[at].is_known, true);
        match &self.known {
            Some(known) if !view.replaces(known) => {
                if known.replaces(&view) {
                    self.ignore(&format!(
                        "the view that came over {relay} is older than the one that is known"
                    ));
                }
                if is_new {
                    self.go_by_view(true);
                }
            }
            _ => {
                self.settled.send_replace(false);
                self.take(view.clone(), true);
                let (file, key) = (self.file.clone(), self.key.clone());
                if let Err(error) =
                    runtime::blocking(move || kept_view::keep(&file, &key, &note, &view)).await
                {
                    self.ignore(&format!("the view cannot be kept for the next start: {error}"));
                }
            }
        }
        true
    }

    /// Goes by a view from now on.
    fn take(&mut self, view: View, is_live: bool) {
        let (epoch, version) = (view.epoch, view.version);
        for member in view.members.iter().filter(|member| member.share_percent > 0) {
            if self.relays.iter().all(|relay| !relay.is(member)) {
                self.add(member);
            }
        }
        self.known = Some(view);
        self.go_by_view(is_live);
        tracing::info!(epoch, version, "version {version} of epoch {epoch} says which relays are used");
    }

    fn add(&mut self, member: &Member) {
        // A relay that listens everywhere and does not say where it is reached.
        let nowhere = member.address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_unspecified());
        if nowhere || self.relays.len() >= RELAYS_MAX {
            return;
        }
        let Some(channel) = (self.connect)(&member.address) else { return };
        self.caller.add(member.unit.to_string(), &channel);
        self.relays.push(Relay {
            name: member.unit.to_string(),
            address: Some(member.address.clone()),
            was_named: true,
            is_known: false,
            is_gone: false,
        });
    }

    /// Tells the picker what each relay is to be used for. A view that was only kept takes nobody out of use.
    fn go_by_view(&mut self, is_live: bool) {
        let Some(view) = &self.known else { return };
        for (at, relay) in self.relays.iter_mut().enumerate() {
            let usage = match view.members.iter().find(|member| relay.is(member)) {
                Some(_) if !relay.is_known => Use::Gone,
                Some(member) => Use::Share(member.share_percent),
                // One that no view named may stand before others, and is not for the view to judge.
                None if is_live && relay.was_named => Use::Gone,
                None => continue,
            };
            let is_named = view.members.iter().any(|member| relay.is(member));
            relay.was_named |= is_named;
            relay.is_gone = !is_named;
            self.caller.picker().regard(at, usage);
        }
    }

    fn ignore(&mut self, why: &str) {
        if self.told.len() < RELAYS_MAX && self.told.insert(why.to_owned()) {
            tracing::warn!("{why}");
            (self.tell)(&Event::ViewIgnored { why: why.to_owned() });
        }
    }
}

impl Relay {
    fn is(&self, member: &Member) -> bool {
        self.name == member.unit.as_str() && self.address.as_ref().is_none_or(|at| *at == member.address)
    }
}

async fn get(channel: Channel) -> Result<Vec<u8>, Status> {
    let mut request = Request::new(GetViewRequest {});
    request.set_timeout(ANSWER_MAX);
    let mut client = PoolServiceClient::new(channel).max_decoding_message_size(NOTE_BYTES_MAX + 64);
    let late = |_| Err(Status::deadline_exceeded(format!("no answer in {ANSWER_MAX:?}")));
    let answer = timeout(ANSWER_MAX, client.get_view(request)).await.unwrap_or_else(late);
    Ok(answer?.into_inner().view)
}

/// Whether it is said that there is no view yet, or that the issuers keep no pool. Any other refusal, as of a
/// relay that is drained, says nothing of what others give.
fn says_that_there_is_none(status: &Status) -> bool {
    let reason = Fault::from_status(status).map(|fault| fault.reason);
    reason == Some(Reason::ViewNotReady) || reason.is_none() && status.code() == Code::Unimplemented
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "view_end_tests.rs"]
mod end_tests;
