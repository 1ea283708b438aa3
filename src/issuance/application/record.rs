//! One act of an office on one application: what is asked is checked, decided on what is committed, and
//! recorded.

use tonic::Request;

use crate::{
    domain::{
        identity::Role,
        item::{Hold, ItemKey},
    },
    store::{Decided, Found},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{
        caller::not_yours,
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::{Begun, Mutation, OfItem, begin, not_after_restore, of_item},
    },
    event::Event,
    life::{self, Details, Life, unreadable},
    view,
};

of_item! { application_number:
    ReviewApplicationRequest,
    ConfirmIdentityRequest,
    ResubmitApplicationRequest,
    VoidApplicationRequest,
    RestoreApplicationRequest,
}

/// An act, checked as far as all of them are checked alike.
pub(super) struct Act<M> {
    pub(super) request: M,
    pub(super) key: ItemKey,
    pub(super) occurred_ms: i64,
    pub(super) deadline: Deadline,
    /// The application as it was before; what changes in a life is decided on what is committed instead.
    pub(super) before: Details,
    mutation: Mutation,
}

/// What an act may depend on: the application so far, what belongs to whom, and what goes with it.
pub(super) struct At<'a> {
    pub(super) life: &'a Life,
    pub(super) found: &'a Found,
    pub(super) key: &'a ItemKey,
}

/// What an act makes of the application, and of other items.
pub(super) struct Made {
    pub(super) event: Event,
    pub(super) others: Vec<(ItemKey, Decided)>,
}

impl From<Event> for Made {
    fn from(event: Event) -> Self {
        Self { event, others: Vec::new() }
    }
}

impl<M: OfItem> Act<M> {
    /// Reads what is asked of an application of the caller's own.
    pub(super) async fn begin(core: &Core, request: Request<M>) -> Result<Self, Fault> {
        let Begun { request, caller, municipality, id, deadline, mutation } =
            begin(core, request, &[Role::Municipality])?;
        let key = view::key(municipality, id);
        not_after_restore(core, &caller, deadline).await?;
        let row = deadline.wait(core.store.item(&key)).await?.map_err(store_fault)?;
        let before = life::details(&row.ok_or_else(not_yours)?)?;
        Ok(Self { request, key, occurred_ms: mutation.occurred_ms, deadline, before, mutation })
    }

    /// Records what `made` makes of the application, and returns it as it stands then.
    pub(super) async fn record<E: Into<Made>>(
        self,
        core: &Core,
        made: impl Fn(&At<'_>) -> Result<E, Fault> + Send + Sync + 'static,
    ) -> Result<pb::Application, Fault> {
        self.record_with(core, (Vec::new(), Vec::new()), made).await
    }

    /// The same with other items that it is decided on, and what of theirs belongs to one item alone.
    pub(super) async fn record_with<E: Into<Made>>(
        self,
        core: &Core,
        (with, mut holds): (Vec<ItemKey>, Vec<Hold>),
        made: impl Fn(&At<'_>) -> Result<E, Fault> + Send + Sync + 'static,
    ) -> Result<pb::Application, Fault> {
        let Self { key, occurred_ms, deadline, before, mutation, .. } = self;
        holds.push(before.hold().map_err(|_| unreadable())?);
        let own = key.clone();
        let decide = move |found: &Found| -> Result<Decided, Fault> {
            let life = Life::of(&found.history).map_err(|_| unreadable())?;
            if !life.is_submitted() {
                return Err(not_yours());
            }
            let Made { event, others } = made(&At { life: &life, found, key: &own })?.into();
            let other = life.other(found, &own.id)?;
            let after = life.then(&own.id, std::slice::from_ref(&event), occurred_ms);
            let after = after.map_err(|fault| match other {
                Some(other) if fault.reason == Reason::OtherApplication => life::other_application(other),
                _ => fault,
            })?;
            Ok(Decided { with: others, ..after.decided(&[event], occurred_ms)? })
        };
        let row = mutation.change_with(core, deadline, key, (with, holds), decide).await?;
        view::shown(core, row, deadline).await
    }
}
