//! The life of one household's cards, from the import to active cards: an envelope comes back, a stocktake
//! misses one, two applications are swapped, an activation is broken off by the death of the issuer.

mod counter;
mod household;
mod letters;
mod parties;
mod press;
mod swap;

use super::{cast::Cast, narrator::Narrator, stage::Stage, theatre::Theatre, trouble::Trouble};
use household::Household;
use parties::Parties;

/// Plays it.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn life(theatre: &Theatre, tale: &mut Narrator) -> Result<(), Trouble> {
    theatre.play(&Cast::quiet(), async |stage| Box::pin(story(stage, tale)).await).await
}

async fn story(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    let household = Household::of_three();
    let parties = Parties::come(stage)?;
    tale.step('a', "A household of three is imported");
    letters::import(stage, tale, &household).await?;
    tale.step('b', "Its envelope comes back, is stored, and is handed out; another is missing");
    letters::told(&parties, tale, &household).await?;
    tale.step('c', "Three applications, of which parent and child are swapped");
    let applications = swap::told(&parties, tale, &household).await?;
    tale.step('d', "The cards are made, one of them twice");
    let cards = press::told(&parties, tale, &applications).await?;
    tale.step('e', "They are handed over; one activation is broken off by the issuer's death");
    counter::told(stage, &parties, tale, cards).await
}
