//! A long list is sent in parts, each under an id of its own that follows from the whole's: what broke
//! off is sent again by the same command, and nothing of it is recorded twice.

use std::path::Path;

use super::{
    giving::{Giving, Stamp},
    municipal::{Output, many, warn},
    progress,
};
use crate::{
    client::{calls::CallError, error::Error, party::Party},
    wire::fault::Fault,
};

/// The longest id of a whole: there is room for the number of a part behind it.
const ID_BYTES_MAX: usize = 56;

/// What a list is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// What one entry is called.
    pub(crate) name: &'static str,
    /// Entries of one part.
    pub(crate) together: usize,
}

/// Cards, of which one call takes so many.
pub(crate) const CARDS: Kind = Kind { name: "card", together: 500 };

/// How far a list was sent.
pub(crate) struct Sent<T> {
    /// The answer of each part.
    pub(crate) answers: Vec<T>,
    pub(crate) stamp: Stamp,
    /// Why those that are left were not sent.
    pub(crate) refused: Option<Error>,
}

impl<T> Sent<T> {
    /// The same, if all of it was sent.
    pub(crate) fn whole(mut self) -> Result<Self, Error> {
        self.refused.take().map_or(Ok(self), Err)
    }
}

/// A file, and in which line of it an entry stands.
pub(crate) type Lines<'a, I> = (&'a Path, fn(&I) -> u64);

/// Sends a list part by part, an empty one as one part. `from` says in which line of which file an entry
/// stands, if it stands in one.
pub(crate) async fn send<I, T>(
    giving: &Giving,
    (kind, list): (Kind, &[I]),
    from: Option<Lines<'_, I>>,
    call: impl AsyncFn(&Party, &Stamp, &[I]) -> Result<T, CallError>,
) -> Result<Sent<T>, Error> {
    let party = giving.asking.party()?;
    let stamp = giving.stamp();
    let Kind { name, together } = kind;
    if list.len() > together && stamp.request_id.len() > ID_BYTES_MAX {
        let words =
            format!("--request-id may have {ID_BYTES_MAX} characters for more than {together} {name}s");
        return Err(Error::Usage(words));
    }
    let template = format!("sending [{{wide_bar}}] {{human_pos}}/{{human_len}} {name}s, {{eta}} left");
    let bar = progress::bar(&template, list.len() as u64, giving.output());
    let all = async |party: &Party| {
        let mut answers = Vec::new();
        for (at, part) in parts(list, together).enumerate() {
            let own = match at {
                0 => stamp.clone(),
                _ => stamp.part(at + 1),
            };
            match call(party, &own, part).await {
                Ok(answer) => answers.push(answer),
                Err(error) => {
                    bar.suspend(|| name_lines(&error, part, from, giving.output()));
                    return (answers, Some(error));
                }
            }
            bar.inc(part.len() as u64);
        }
        (answers, None)
    };
    let (answers, refused) = party.over(all).await;
    bar.finish_and_clear();
    if let Some(error) = &refused {
        let (done, all) = (bar.position(), many(list.len() as u64, name));
        if (done > 0 || error.transient) && giving.output() == Output::Text {
            let (id, at) = (&stamp.request_id, stamp.at());
            let words = format!("{done} of {all} are recorded for certain: --request-id {id} --at {at} with");
            warn(&format!("{words} the same list goes on from there"));
        }
    }
    Ok(Sent { answers, stamp, refused: refused.map(Error::from) })
}

/// The parts of a list, one at least.
fn parts<I>(list: &[I], together: usize) -> impl Iterator<Item = &[I]> {
    let nothing = list.is_empty().then_some(list);
    nothing.into_iter().chain(list.chunks(together))
}

/// Says in which lines of the file stands what was refused.
fn name_lines<I>(error: &CallError, part: &[I], from: Option<Lines<'_, I>>, output: Output) {
    let (Some((path, line)), Some(fault)) = (from, &error.fault) else { return };
    if output == Output::Json {
        return; // the error names the places
    }
    for (at, what) in places(fault) {
        if let Some(entry) = part.get(at) {
            warn(&format!("{}, line {}: {what}", path.display(), line(entry)));
        }
    }
}

/// The entries that a fault names, each with what is wrong with it.
fn places(fault: &Fault) -> Vec<(usize, &str)> {
    let place = |field: &str| {
        let (_, rest) = field.split_once('[')?;
        rest.split_once(']')?.0.parse().ok()
    };
    let named = fault.violations.iter();
    named.filter_map(|(field, what)| Some((place(field)?, what.as_str()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fault::Reason;

    #[test]
    fn an_empty_list_is_sent_too() {
        let sizes = |len| parts(&vec![(); len], 2).map(<[()]>::len).collect::<Vec<_>>();
        assert_eq!([sizes(0), sizes(1), sizes(2), sizes(3)], [vec![0], vec![1], vec![2], vec![2, 1]]);
    }

    #[test]
    fn a_fault_names_entries_of_the_list() {
        let fault = Fault::new(Reason::ItemState, "two are wrong")
            .violation("cards[3].ok.chip_key", "a")
            .violation("card_ids[0]", "b")
            .violation("cards", "c");
        assert_eq!(places(&fault), [(3, "a"), (0, "b")]);
    }
}
