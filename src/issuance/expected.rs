//! The calendar in force is the last one that could be read; what it expects and nobody sent is named until
//! it comes.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use crate::{
    domain::{
        calendar::{self, BYTES_MAX, Calendar, CalendarFault, Due},
        municipality::MunicipalityCode,
    },
    store,
    telemetry::names,
    wire::{convert::timestamp, fault::Fault, pb},
};

use super::core::{Core, store_fault};

/// Most missing batches, and most coming ones, that a municipality is told of at once.
const MISSING_MAX: usize = 100;
const COMING_MAX: usize = 10;

/// Why a calendar cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CalendarError {
    /// The file cannot be read.
    #[error(
        "{}: {source}. Give a file that this process may read (key issuance.calendar_file)", path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is wrong.
    #[error("{}, {fault}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What and where.
        fault: CalendarFault,
    },
}

/// The calendar in force, and the file that it came from.
#[derive(Debug)]
pub(crate) struct Expected {
    path: Option<PathBuf>,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    stamp: Option<Stamp>,
    calendar: Arc<Calendar>,
}

/// What tells one writing of a file from the next; `None` while it cannot be looked at.
type Stamp = Option<(SystemTime, u64)>;

impl Expected {
    /// Reads the calendar for the first time; without a file nothing is expected.
    pub(crate) fn load(path: Option<PathBuf>) -> Result<Self, CalendarError> {
        let mut read = Read::default();
        if let Some(path) = &path {
            read = Read { stamp: Some(stamp(path)), calendar: Arc::new(parse(path)?) };
        }
        metrics::gauge!(names::CALENDAR_STALE).set(0);
        Ok(Self { path, read: Mutex::new(read) })
    }

    /// Reads the file again if it was written since; what cannot be used leaves the old calendar in force.
    pub(crate) fn refresh(&self) {
        let Some(path) = &self.path else { return };
        let now = stamp(path);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.stamp == Some(now) {
            return;
        }
        read.stamp = Some(now);
        match parse(path) {
            Ok(calendar) => {
                read.calendar = Arc::new(calendar);
                metrics::gauge!(names::CALENDAR_STALE).set(0);
                tracing::info!("the calendar {} was read anew", path.display());
            }
            Err(error) => {
                metrics::gauge!(names::CALENDAR_STALE).set(1);
                tracing::error!(%error, "{error}; the old calendar stays in force");
            }
        }
    }

    /// The calendar in force.
    pub(crate) fn calendar(&self) -> Arc<Calendar> {
        Arc::clone(&self.read.lock().unwrap_or_else(PoisonError::into_inner).calendar)
    }
}

fn stamp(path: &Path) -> Stamp {
    let kept = fs::metadata(path).ok()?;
    Some((kept.modified().ok()?, kept.len()))
}

fn parse(path: &Path) -> Result<Calendar, CalendarError> {
    let unreadable = |source| CalendarError::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(unreadable(std::io::Error::other("the file is larger than 16 MiB")));
    }
    Calendar::parse(&text).map_err(|fault| CalendarError::Wrong { path: path.to_owned(), fault })
}

/// Returns everything that is due and did not come, of all municipalities.
pub(crate) async fn missing(core: &Core) -> Result<Vec<(MunicipalityCode, Due)>, store::Error> {
    let (calendar, now_ms) = (core.expected.calendar(), core.clock.now_ms());
    let due = |dues: &[Due]| dues.first().is_some_and(|first| first.at_ms <= now_ms);
    let from =
        calendar.all().filter(|(_, dues)| due(dues)).filter_map(|(_, dues)| calendar::counts_from(dues));
    let Some(from) = from.min() else { return Ok(Vec::new()) };
    let opened = core.store.opened_since(from).await?;
    let none = Vec::new();
    let mut found = Vec::new();
    for (municipality, dues) in calendar.all().filter(|(_, dues)| due(dues)) {
        let opened = opened.get(&municipality).unwrap_or(&none);
        let unmet = calendar::unmet(dues, opened).iter().take_while(|due| due.at_ms <= now_ms);
        found.extend(unmet.map(|due| (municipality, due.clone())));
    }
    Ok(found)
}

/// Returns what one municipality did not send in time, and what comes next.
pub(crate) async fn of(core: &Core, municipality: MunicipalityCode) -> Result<Vec<pb::ExpectedBatch>, Fault> {
    let (calendar, now_ms) = (core.expected.calendar(), core.clock.now_ms());
    let dues = calendar.of(municipality);
    let Some(from) = calendar::counts_from(dues) else { return Ok(Vec::new()) };
    let opened = core.store.opened_of(municipality, from).await.map_err(store_fault)?;
    let unmet = calendar::unmet(dues, &opened);
    let (missing, coming) = unmet.split_at(unmet.partition_point(|due| due.at_ms <= now_ms));
    let view = |due: &Due, missing| pb::ExpectedBatch {
        due_time: Some(timestamp(due.at_ms)),
        missing,
        note: due.note.clone(),
    };
    let missing = missing.iter().take(MISSING_MAX).map(|due| view(due, true));
    Ok(missing.chain(coming.iter().take(COMING_MAX).map(|due| view(due, false))).collect())
}
