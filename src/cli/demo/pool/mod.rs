//! The pool's part of the story, and stories of the pool alone: units become sick in the ways of 2016, and
//! what the pool decides is held against what it should.

mod asks;
mod crowd;
mod hang;
mod january;
mod raid;
mod same_model;
mod sick;
mod upstream;

use clap::ValueEnum;

use super::{cast::Cast, life, narrator::Narrator, theatre::Theatre, trouble::Trouble};

pub(crate) use hang::hang;

/// A story of the pool, or of cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// 13 to 26 January 2016, the days between skipped: what two units share is suspect on the 18th, and the
    /// return of the 20th is refused; some 7 min
    January,
    /// A relay hangs behind green health checks: evicted within a minute, no call fails; some 90 s
    Hang,
    /// The issuer is stopped and killed, and the upstream is gone for all relays: nobody is evicted; some
    /// 3 min
    Upstream,
    /// Two relays of one model fail 30 %: the model is named; some 3 min
    SameModel,
    /// One relay alone fails, as in October 2016: found within a minute; some 80 s
    Raid,
    /// One household from its import to active cards: a return, a swap that is caught, an activation that is
    /// broken off, an envelope that is missing; some 5 s
    Life,
}

/// Plays it.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn play(scenario: Scenario, theatre: &Theatre, tale: &mut Narrator) -> Result<(), Trouble> {
    let quiet = Cast::quiet();
    match scenario {
        Scenario::January => Box::pin(january::january(theatre, tale)).await,
        Scenario::Hang => theatre.play(&quiet, async |stage| Box::pin(hang::told(stage, tale)).await).await,
        Scenario::Upstream => {
            theatre.play(&quiet, async |stage| Box::pin(upstream::upstream(stage, tale)).await).await
        }
        Scenario::SameModel => {
            let cast = Cast::of_models(&same_model::MODELS);
            theatre.play(&cast, async |stage| Box::pin(same_model::same_model(stage, tale)).await).await
        }
        Scenario::Life => Box::pin(life::life(theatre, tale)).await,
        Scenario::Raid => theatre.play(&quiet, async |stage| Box::pin(raid::raid(stage, tale)).await).await,
    }
}
