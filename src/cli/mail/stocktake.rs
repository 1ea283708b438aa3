//! `todoke mail stocktake`: holds what lies in an office against what should; a list with a wrong line is
//! refused before anything is sent, and a long one is counted in parts, each of a range of ids.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use crate::{
    cli::{
        giving::{Giving, Stamp},
        municipal::{Output, many, say, say_event, say_result, warn},
        parts::{self, Kind},
    },
    client::{calls::Weight, error::Error, input_fault::InputFault, party::Party},
    domain::item::ItemId,
    runtime::{blocking, exit},
    wire::pb,
};

/// Envelopes of a list at the most.
const ITEMS_MAX: usize = 200_000;
/// Envelopes that one call takes.
const OF_ONE: usize = 20_000;
/// Envelopes of a part of more: as many again may be missing between them.
const OF_PART: usize = 10_000;
/// Bytes of a list at the most: each id has 64 at the most, and may have as much around it.
const LIST_BYTES_MAX: u64 = 128 * ITEMS_MAX as u64;

/// What lies in an office.
#[derive(Debug, Clone, Args)]
pub(super) struct StocktakeArgs {
    /// The file with the codes of all envelopes that lie there, one a line; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The office
    #[arg(long, value_name = "NAME")]
    office: String,
    /// Takes a file without any code: nothing lies there, and all that should is missing
    #[arg(long)]
    nothing_there: bool,
    /// Counts only codes from this one on, by their bytes: what is before is another count's
    #[arg(long, value_name = "ID")]
    from: Option<ItemId>,
    /// Counts only codes before this one
    #[arg(long, value_name = "ID")]
    until: Option<ItemId>,
    #[command(flatten)]
    pub(super) giving: Giving,
}

pub(super) async fn run(args: &StocktakeArgs) -> Result<u8, Error> {
    let file = args.file.clone();
    let seen = blocking(move || read(&file)).await?;
    if let Some((line, _)) = seen.iter().find(|(_, id)| !args.counts(id)) {
        let (what, remedy) = ("is outside --from and --until", "Count it with those that it stands among");
        return Err(InputFault::of_line(shown(&args.file), *line, what, remedy).into());
    }
    if seen.is_empty() != args.nothing_there {
        let (what, remedy) = if seen.is_empty() {
            ("names no envelope", "If nothing lies there, pass --nothing-there")
        } else {
            ("names envelopes, and --nothing-there says that there are none", "Leave one of them out")
        };
        return Err(InputFault::of_file(shown(&args.file), what, remedy).into());
    }
    let submit = async |party: &Party, stamp: &Stamp, part: &[Seen]| {
        let (from, until) = range(&seen, part);
        let end = |inner: Option<&ItemId>, outer: &Option<ItemId>| {
            inner.or(outer.as_ref()).map(ToString::to_string).unwrap_or_default()
        };
        let message = pb::SubmitStocktakeRequest {
            request_id: stamp.request_id.clone(),
            office: args.office.clone(),
            mail_item_ids: part.iter().map(|(_, id)| id.to_string()).collect(),
            occurred_time: stamp.time(),
            from_mail_item_id: end(from, &args.from),
            until_mail_item_id: end(until, &args.until),
        };
        let call = "SubmitStocktake";
        party
            .ask(call, Weight::Heavy, &message, |attempt, request| async move {
                attempt.mail().submit_stocktake(request).await
            })
            .await
    };
    let line: fn(&Seen) -> u64 = |(line, _)| *line;
    let in_one = seen.len() <= OF_ONE;
    let kind = Kind { name: "envelope", together: if in_one { OF_ONE } else { OF_PART } };
    let sent = parts::send(&args.giving, (kind, &seen), Some((shown(&args.file), line)), submit).await?;
    let found = sent.answers.into_iter().reduce(together).unwrap_or_default();
    let output = args.giving.output();
    list(&found, output);
    if let Some(refused) = sent.refused {
        return Err(refused); // of the parts before it is shown what they found, which is noted
    }
    Ok(sum_up(&found, &sent.stamp, output))
}

impl StocktakeArgs {
    /// Whether an envelope is among those that are counted.
    fn counts(&self, id: &ItemId) -> bool {
        self.from.as_ref().is_none_or(|from| id >= from) && self.until.as_ref().is_none_or(|until| id < until)
    }
}

/// The range of ids that a part of what was seen stands for, so that every id is in one of them: it begins
/// with its first, or where all begins, and ends before the first of the next, or where all ends.
fn range<'a>(seen: &'a [Seen], part: &'a [Seen]) -> (Option<&'a ItemId>, Option<&'a ItemId>) {
    let (Some((_, first)), Some((_, last))) = (part.first(), part.last()) else { return (None, None) };
    let before = seen.first().is_some_and(|(_, id)| id < first);
    let next = seen.get(seen.partition_point(|(_, id)| id <= last));
    (before.then_some(first), next.map(|(_, id)| id))
}

/// What two parts found.
fn together(
    mut all: pb::SubmitStocktakeResponse,
    more: pb::SubmitStocktakeResponse,
) -> pb::SubmitStocktakeResponse {
    all.counted += more.counted;
    all.missing.extend(more.missing);
    all.found_again.extend(more.found_again);
    all.surplus.extend(more.surplus);
    all.still_missing.extend(more.still_missing);
    all
}

/// Names everything that does not fit.
fn list(found: &pb::SubmitStocktakeResponse, output: Output) {
    let pb::SubmitStocktakeResponse { missing, found_again, surplus, still_missing, .. } = found;
    if output == Output::Json {
        let of =
            |event, ids: &[String]| ids.iter().for_each(|id| say_event(event, json!({"mail_item_id": id})));
        of("missing", missing);
        of("still_missing", still_missing);
        of("found_again", found_again);
        for pb::Surplus { mail_item_id, why } in surplus {
            say_event("surplus", json!({"mail_item_id": mail_item_id, "why": why}));
        }
        return;
    }
    missing.iter().for_each(|id| say(&format!("missing      {id}")));
    still_missing.iter().for_each(|id| say(&format!("still missing  {id}")));
    found_again.iter().for_each(|id| say(&format!("found again  {id}")));
    surplus.iter().for_each(|one| say(&format!("beyond       {}  {}", one.mail_item_id, one.why)));
}

fn sum_up(found: &pb::SubmitStocktakeResponse, stamp: &Stamp, output: Output) -> u8 {
    let pb::SubmitStocktakeResponse { counted, missing, found_again, surplus, still_missing } = found;
    let fits = missing.is_empty() && surplus.is_empty() && still_missing.is_empty();
    let code = if fits { exit::DONE } else { exit::TOTALS };
    if output == Output::Json {
        let result = json!({
            "counted": counted, "missing": missing.len(), "found_again": found_again.len(),
            "surplus": surplus.len(), "still_missing": still_missing.len(),
        });
        return say_result(code, stamp.on(result));
    }
    let seen = many((*counted).into(), "envelope");
    say(&format!(
        "{seen} counted, {} newly missing, {} still missing, {} found again, {} beyond what should be there",
        missing.len(),
        still_missing.len(),
        found_again.len(),
        surplus.len()
    ));
    if !fits {
        warn("look for them, and count again without --request-id: what is found is STORED again");
    }
    code
}

/// What is named of the list in an error.
fn shown(file: &Path) -> &Path {
    if is_input(file) { Path::new("standard input") } else { file }
}

fn is_input(file: &Path) -> bool {
    file == Path::new("-")
}

/// An envelope that was seen, with the line in which it stands.
type Seen = (u64, ItemId);

/// Reads all that was seen, by id.
fn read(file: &Path) -> Result<Vec<Seen>, InputFault> {
    let read = |mut from: Box<dyn Read>| {
        let mut bytes = Vec::new();
        from.by_ref().take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes).map(|_| bytes)
    };
    let bytes = if is_input(file) {
        read(Box::new(io::stdin().lock()))
    } else {
        File::open(file).and_then(|file| read(Box::new(file)))
    };
    let bytes = bytes.map_err(|error| InputFault::from_io(shown(file), &error))?;
    ids(shown(file), &bytes)
}

/// The ids of a list. What a line holds is never repeated: a wrong file may hold anything.
fn ids(file: &Path, bytes: &[u8]) -> Result<Vec<Seen>, InputFault> {
    let too_many = || {
        let what = format!("names more than {ITEMS_MAX} envelopes");
        InputFault::of_file(file, what, "Count in several lists, each with --from and --until")
    };
    if bytes.len() as u64 > LIST_BYTES_MAX {
        return Err(too_many());
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines = BTreeMap::new();
    for (line, text) in (1..).zip(text.lines()).map(|(line, text)| (line, text.trim())) {
        if text.is_empty() {
            continue;
        }
        let id: ItemId = text.parse().map_err(|_| {
            let remedy = "Each line holds one code of 1 to 64 visible ASCII characters, and nothing else";
            InputFault::of_line(file, line, "is no code of an envelope", remedy)
        })?;
        if let Some(before) = lines.insert(id, line) {
            let what = format!("is the same as line {before}");
            return Err(InputFault::of_line(file, line, what, "Name each envelope once"));
        }
        if lines.len() > ITEMS_MAX {
            return Err(too_many());
        }
    }
    Ok(lines.into_iter().map(|(id, line)| (line, id)).collect())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn read_text(text: &str) -> Result<usize, String> {
        ids(Path::new("shelf.txt"), text.as_bytes()).map(|ids| ids.len()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_list_has_one_code_a_line_and_what_is_wrong_has_its_line() {
        assert_eq!(read_text("E-1\n\n  E-2 \r\nE-3"), Ok(3));
        assert_eq!(read_text("\u{feff}E-1\n"), Ok(1), "as some editors write it");
        assert_eq!(read_text("\n \n"), Ok(0));
        let long = "x".repeat(65);
        for (bad, words) in [
            ("E-1\n\n葛飾 太郎\n", "shelf.txt, line 3: is no code"),
            ("E-1\nE 2\n", "line 2: is no code"),
            (long.as_str(), "line 1: is no code"),
            ("E-1\nE-2\n\nE-1\n", "line 4: is the same as line 1"),
        ] {
            let said = read_text(bad).expect_err(bad);
            assert!(said.contains(words) && !said.contains("葛飾"), "{said}");
        }
        let said = ids(Path::new("shelf.txt"), b"E-1\n\xff\xfe\n").expect_err("no text").to_string();
        assert!(said.contains("line 2"), "{said}");
    }

    #[test]
    fn a_list_at_the_limit_is_taken_and_one_beyond_it_is_not() {
        let mut text = String::new();
        for n in 0..ITEMS_MAX {
            let _ = writeln!(text, "{n:0>64}");
        }
        assert_eq!(read_text(&text), Ok(ITEMS_MAX));
        text.push_str("one-more\n");
        assert!(read_text(&text).expect_err("too many").contains("more than 200000"));
        let blank = " ".repeat(usize::try_from(LIST_BYTES_MAX).expect("small") + 1);
        assert!(read_text(&blank).expect_err("too long").contains("--until"));
    }

    #[test]
    fn every_id_is_in_one_part_and_no_more() {
        let seen = ids(Path::new("shelf.txt"), b"E-5\nE-1\nE-3\nE-2\nE-4\n").expect("a list");
        let lines: Vec<u64> = seen.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 4, 3, 5, 1], "by id, and each has its line");
        let ranges: Vec<_> = seen.chunks(2).map(|part| range(&seen, part)).collect();
        let id = |n: usize| Some(&seen[n].1);
        assert_eq!(ranges, [(None, id(2)), (id(2), id(4)), (id(4), None)]);
        assert_eq!(range(&seen, &seen), (None, None), "all of it");
        assert_eq!(range(&[], &[]), (None, None), "nothing lies there");
    }
}
