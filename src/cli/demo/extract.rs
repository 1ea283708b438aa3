//! A record file of the story, and what it holds by the demo's own count, with another reader than the
//! client's.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
};

use super::trouble::Trouble;

/// Records and households of a district.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Households.
    pub(crate) households: u64,
    /// Records.
    pub(crate) records: u64,
}

/// A record file.
#[derive(Debug, Clone)]
pub(crate) struct Extract {
    /// The file.
    pub(crate) file: PathBuf,
    /// The control totals from the register of residents.
    pub(crate) tally: PathBuf,
    /// Each record's own key, in the order of the file.
    pub(crate) order_ids: Vec<String>,
    /// What each district has.
    pub(crate) districts: BTreeMap<String, Count>,
}

impl Extract {
    /// Counts a file.
    ///
    /// # Errors
    /// [`Trouble::File`].
    pub(crate) fn count(file: &Path, tally: &Path) -> Result<Self, Trouble> {
        let failed = |error: csv::Error| Trouble::file(file)(error.into());
        let mut rows = csv::Reader::from_path(file).map_err(failed)?;
        let header = rows.headers().map_err(failed)?.clone();
        let column = |name: &str| {
            let at = header.iter().position(|column| column == name);
            at.ok_or_else(|| Trouble::file(file)(std::io::Error::other(format!("no column {name}"))))
        };
        let (order, household, district) =
            (column("order_id")?, column("household_id")?, column("district")?);
        let mut order_ids = Vec::new();
        let mut districts: BTreeMap<String, Count> = BTreeMap::new();
        let mut households = HashSet::new();
        for row in rows.records() {
            let row = row.map_err(failed)?;
            order_ids.push(row[order].to_owned());
            let count = districts.entry(row[district].to_owned()).or_default();
            count.records += 1;
            if households.insert(row[household].to_owned()) {
                count.households += 1;
            }
        }
        Ok(Self { file: file.to_owned(), tally: tally.to_owned(), order_ids, districts })
    }

    /// All records.
    pub(crate) fn records(&self) -> u64 {
        self.order_ids.len() as u64
    }

    /// All households.
    pub(crate) fn households(&self) -> u64 {
        self.districts.values().map(|count| count.households).sum()
    }

    /// What a district has, nothing if there is none of that name.
    pub(crate) fn district(&self, name: &str) -> Count {
        self.districts.get(name).copied().unwrap_or_default()
    }

    /// Of these keys: how many are the file's own, each counted once; how many are there again; how many
    /// are none of the file's.
    pub(crate) fn match_up<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Matched {
        let own: HashSet<&str> = self.order_ids.iter().map(String::as_str).collect();
        let mut seen = BTreeSet::new();
        let mut matched = Matched::default();
        for key in keys {
            match (own.contains(key), seen.insert(key)) {
                (true, true) => matched.once += 1,
                (true, false) => matched.again += 1,
                (false, _) => matched.foreign += 1,
            }
        }
        matched
    }

    /// The path as an argument.
    pub(crate) fn name(&self) -> &str {
        self.file.to_str().expect("the story names its files in ASCII, in a folder that was checked")
    }
}

/// How a list of keys fits a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Matched {
    /// The file's own, counted once.
    pub(crate) once: u64,
    /// The file's own, beyond the first time.
    pub(crate) again: u64,
    /// None of the file's.
    pub(crate) foreign: u64,
}

/// Writes a copy of a record file in which one record has another birth date.
///
/// # Errors
/// [`Trouble::File`].
pub(crate) fn with_one_change(file: &Path, order_id: &str, copy: &Path) -> Result<(), Trouble> {
    let text = std::fs::read_to_string(file).map_err(Trouble::file(file))?;
    let header = text.lines().next().unwrap_or_default();
    let missing = || Trouble::file(file)(std::io::Error::other(format!("no record {order_id} to change")));
    let at = header.split(',').position(|column| column == "birth_date").ok_or_else(missing)?;
    let mut changed = 0;
    let lines = text.split_inclusive('\n').map(|line| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if !cells.contains(&order_id) || cells.len() <= at {
            return line.to_owned();
        }
        changed += 1;
        cells[at] = if cells[at] == "1970-01-01" { "1970-01-02" } else { "1970-01-01" };
        cells.join(",")
    });
    let text: String = lines.collect();
    if changed != 1 {
        return Err(missing());
    }
    std::fs::write(copy, text).map_err(Trouble::file(copy))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "order_id,household_id,district,birth_date,name\n\
                        S-1,H-1,白鳥,1980-02-29,甲\nS-2,H-1,白鳥,1981-02-28,\"乙,丙\"\nS-3,H-2,亀有,1970-01-01,丁\n";

    fn extract(dir: &Path) -> Extract {
        let file = dir.join("a.csv");
        std::fs::write(&file, FILE).expect("it is written");
        Extract::count(&file, &dir.join("a.tally")).expect("it is counted")
    }

    #[test]
    fn a_file_is_counted_by_district_and_by_household() {
        let dir = tempfile::tempdir().expect("a folder");
        let extract = extract(dir.path());
        assert_eq!((extract.records(), extract.households()), (3, 2));
        assert_eq!(extract.district("白鳥"), Count { households: 1, records: 2 });
        assert_eq!(extract.district("立石"), Count::default());
    }

    #[test]
    fn keys_that_are_missing_doubled_or_foreign_show() {
        let dir = tempfile::tempdir().expect("a folder");
        let extract = extract(dir.path());
        let matched = extract.match_up(["S-1", "S-3", "S-3", "K-9"].into_iter());
        assert_eq!(matched, Matched { once: 2, again: 1, foreign: 1 });
    }

    #[test]
    fn a_change_touches_one_record_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let extract = extract(dir.path());
        let copy = dir.path().join("copy.csv");
        with_one_change(&extract.file, "S-3", &copy).expect("it is there");
        let changed = std::fs::read_to_string(&copy).expect("it is written");
        assert_eq!(changed, FILE.replace("1970-01-01", "1970-01-02"));
        assert!(with_one_change(&extract.file, "S-9", &copy).is_err());
    }
}
