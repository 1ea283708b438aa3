//! The calendar says which municipality hands in a batch by when; a moment that passes without one is named
//! until one comes, be it one of no records.
//!
//! Each due moment needs a batch of its own. It may be met from the due moment before it on (for a
//! municipality's first: from a day before it), and a batch that comes late meets the earliest that is unmet.

use std::collections::BTreeMap;

use super::{
    date::{Date, JST_MS, utc},
    municipality::MunicipalityCode,
};

/// Most lines of a calendar.
pub const LINES_MAX: usize = 200_000;
/// Most bytes of a calendar.
pub const BYTES_MAX: u64 = 16 << 20;

/// From when on a municipality's first due moment may be met.
const FIRST_BEFORE_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

/// A moment by which a batch is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// When, ms since the Unix epoch.
    pub at_ms: i64,
    /// What the operator wrote beside it.
    pub note: String,
}

/// Who is expected when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calendar {
    dues: BTreeMap<MunicipalityCode, Vec<Due>>,
}

/// What is wrong with a calendar, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {field}: {what}. {remedy}")]
pub struct CalendarFault {
    /// The line, from 1.
    pub line: usize,
    /// The column.
    pub field: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: &'static str,
}

fn fault(line: usize, field: &'static str, what: impl Into<String>, remedy: &'static str) -> CalendarFault {
    CalendarFault { line, field, what: what.into(), remedy }
}

impl Calendar {
    /// Reads `municipality,due` or `municipality,due,note`, with a header row; a note is the rest of its
    /// line.
    ///
    /// # Errors
    /// [`CalendarFault`], the first one.
    pub fn parse(text: &str) -> Result<Self, CalendarFault> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let header = lines.next().map(|(_, line)| line.trim_end()).unwrap_or_default();
        if !matches!(header, "municipality,due" | "municipality,due,note") {
            let what = "the first line is not the header";
            return Err(fault(1, "header", what, "Write municipality,due or municipality,due,note"));
        }
        let mut dues: BTreeMap<MunicipalityCode, Vec<(usize, Due)>> = BTreeMap::new();
        for (line, row) in lines.filter(|(_, row)| !row.trim().is_empty()) {
            if line > LINES_MAX {
                let what = format!("there are more than {LINES_MAX} lines");
                return Err(fault(line, "line", what, "Take out what is long past"));
            }
            let mut cells = row.trim_end().splitn(3, ',');
            let code = cells.next().unwrap_or_default();
            let municipality = code
                .parse()
                .map_err(|error| fault(line, "municipality", format!("{error}"), "Write the six digits"))?;
            let due = cells.next().unwrap_or_default();
            let at_ms = moment(due).ok_or_else(|| {
                fault(
                    line,
                    "due",
                    "is neither a day nor a moment",
                    "Write 2026-11-25 (the end of that day in Japan), 2026-11-25T18:00 (in Japan), or a \
                     moment with Z or +09:00 behind it",
                )
            })?;
            let note = cells.next().unwrap_or_default();
            if note.chars().count() > 200 || note.chars().any(char::is_control) {
                let what = "is longer than 200 characters, or has control characters";
                return Err(fault(line, "note", what, "Shorten it"));
            }
            dues.entry(municipality).or_default().push((line, Due { at_ms, note: note.to_owned() }));
        }
        let mut sorted = BTreeMap::new();
        for (municipality, mut of) in dues {
            of.sort_by_key(|(line, due)| (due.at_ms, *line));
            if let Some(twice) = of.windows(2).find(|pair| pair[0].1.at_ms == pair[1].1.at_ms) {
                let what = format!("{municipality} has {} already", utc(twice[1].1.at_ms));
                return Err(fault(twice[1].0, "due", what, "Take one of the two lines out"));
            }
            sorted.insert(municipality, of.into_iter().map(|(_, due)| due).collect());
        }
        Ok(Self { dues: sorted })
    }

    /// The due moments of a municipality, the first one first.
    #[must_use]
    pub fn of(&self, municipality: MunicipalityCode) -> &[Due] {
        self.dues.get(&municipality).map_or(&[], Vec::as_slice)
    }

    /// Every municipality with its due moments.
    pub fn all(&self) -> impl Iterator<Item = (MunicipalityCode, &[Due])> {
        self.dues.iter().map(|(municipality, dues)| (*municipality, dues.as_slice()))
    }
}

/// From when on batches count for these due moments; `None` if there are none.
#[must_use]
pub fn counts_from(dues: &[Due]) -> Option<i64> {
    dues.first().map(|due| due.at_ms.saturating_sub(FIRST_BEFORE_MS))
}

/// Returns the due moments that no batch has met, past and to come. `opened_ms` are the moments at which
/// batches were opened that nobody gave up, in any order.
#[must_use]
pub fn unmet<'a>(dues: &'a [Due], opened_ms: &[i64]) -> &'a [Due] {
    let mut opened = opened_ms.to_vec();
    opened.sort_unstable();
    let mut met = 0;
    for at_ms in opened {
        let from = match met {
            0 => counts_from(dues),
            n => dues.get(n).and(dues.get(n - 1)).map(|before| before.at_ms),
        };
        if from.is_some_and(|from| at_ms > from) {
            met += 1;
        }
    }
    &dues[met..]
}

/// Reads a day, which is over at its end in Japan, or a moment.
fn moment(text: &str) -> Option<i64> {
    let (day, rest) = text.split_at_checked(10)?;
    let day = Date::parse(day).filter(|day| (2000..=9000).contains(&day.year()))?;
    if rest.is_empty() {
        return Some(day.start_ms() + 24 * 60 * MINUTE_MS - JST_MS);
    }
    let rest = rest.strip_prefix('T')?;
    let (time, offset_ms) = match rest.find(['Z', '+', '-']) {
        None => (rest, JST_MS),
        Some(at) if &rest[at..] == "Z" => (&rest[..at], 0),
        Some(at) => {
            let (hours, minutes) = rest[at + 1..].split_once(':')?;
            let minutes = two_digits(hours, 14)? * 60 + two_digits(minutes, 59)?;
            let sign = if rest[at..].starts_with('-') { -1 } else { 1 };
            (&rest[..at], sign * minutes * MINUTE_MS)
        }
    };
    let mut parts = time.split(':');
    let hours = two_digits(parts.next()?, 23)?;
    let minutes = two_digits(parts.next()?, 59)?;
    let seconds = parts.next().map_or(Some(0), |seconds| two_digits(seconds, 59))?;
    parts
        .next()
        .is_none()
        .then(|| day.start_ms() + (hours * 60 + minutes) * MINUTE_MS + seconds * 1000 - offset_ms)
}

fn two_digits(text: &str, max: i64) -> Option<i64> {
    let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse::<i64>().ok())??;
    (number <= max).then_some(number)
}

#[cfg(test)]
#[path = "calendar_tests.rs"]
mod tests;
