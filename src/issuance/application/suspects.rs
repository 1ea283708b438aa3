//! What looks like a swap is asked anew each time, of all applications of the household: a later one is a new
//! suspicion, which no earlier word covers.

use std::collections::BTreeSet;

use crate::{
    domain::{
        item::{ItemId, ItemKind},
        life::application::mixup::{self, Photo, Resident, Sex, Submission},
        municipality::MunicipalityCode,
    },
    wire::fault::Fault,
};

use super::{
    super::{
        core::{Core, store_fault},
        deadline::Deadline,
    },
    event::{Doubt, Unreadable},
    life::{self, Details, unreadable},
};

/// Applications of a household that are read at once.
const PAGE: u32 = 200;

/// Returns every reason to suspect a swap at this moment, confirmed or not.
pub(crate) async fn suspects(
    core: &Core,
    municipality: MunicipalityCode,
    id: &ItemId,
    details: &Details,
    deadline: Deadline,
) -> Result<BTreeSet<Doubt>, Fault> {
    let mut found = together(core, municipality, id, details, deadline).await?;
    found.extend(&details.doubts);
    Ok(found)
}

/// Returns those alone that the household's other applications give: they do not depend on the photograph.
pub(crate) async fn together(
    core: &Core,
    municipality: MunicipalityCode,
    id: &ItemId,
    details: &Details,
    deadline: Deadline,
) -> Result<BTreeSet<Doubt>, Fault> {
    let household = details.household().map_err(|_| unreadable())?;
    let (mut others, mut after) = (Vec::new(), None);
    loop {
        let page = core.store.linked(municipality, household, ItemKind::Application, after.as_ref(), PAGE);
        let page = deadline.wait(page).await?.map_err(store_fault)?;
        let is_last = page.len() < PAGE as usize;
        after = page.last().map(|row| row.key.id.clone());
        for row in page {
            others.push(life::details(&row)?.submission(&row.key.id).map_err(|_| unreadable())?);
        }
        if is_last {
            break;
        }
    }
    among(id, details, &others).map_err(|_| unreadable())
}

/// The pure part: what these applications of the household give. Of the photograph nothing is asked: what of
/// it does not fit was decided when it came, as neither it nor the record is here.
fn among(id: &ItemId, details: &Details, others: &[Submission]) -> Result<BTreeSet<Doubt>, Unreadable> {
    const UNSEEN: Photo = Photo { ages: None, sex: Sex::NotKnown };
    const ANYBODY: Resident = Resident { birth: None, sex: Sex::NotKnown };
    let found = mixup::suspicions(&details.submission(id)?, others, &UNSEEN, &ANYBODY);
    Ok(found.into_iter().map(Doubt::from).collect())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn made(application: u128, session: Option<u128>, received_ms: i64) -> Submission {
        Submission {
            application: Uuid::from_u128(application),
            session: session.map(Uuid::from_u128),
            received_ms,
        }
    }

    #[test]
    fn an_application_is_suspected_for_those_that_were_made_with_it_and_never_for_itself() {
        let this = made(1, Some(7), 0);
        let details =
            Details { session: this.session, doubts: vec![Doubt::AgeOfPhoto], ..Details::default() };
        let id: ItemId = this.application.to_string().parse().expect("an id");
        let later = [made(2, Some(7), 9 * HOUR_MS), made(3, None, HOUR_MS), made(4, None, HOUR_MS + 1)];
        let found = among(&id, &details, &[&[this], &later[..]].concat()).expect("it is readable");
        let named = [Doubt::SameSession(Uuid::from_u128(2)), Doubt::WithinAnHour(Uuid::from_u128(3))];
        assert_eq!(Vec::from_iter(found), named, "the photograph's are kept, and not found anew");
    }
}
