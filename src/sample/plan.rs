//! What a file will hold, counted before its first line: sizes and districts of all households, the tally
//! of the complete extract, and how many records are written.

use std::collections::BTreeMap;

use super::{
    Lines,
    csv::{Encoding, Row, Unwritable, cp932},
    deal::Deal,
    places,
    random::Random,
};
use crate::domain::{layout, municipality::MunicipalityCode, totals::DistrictTotals};

/// How many people, in how many households of one to six.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many records; the households come out at about one for 2.2 records.
    Records(u64),
    /// So many households; about 2.2 records each.
    Households(u64),
    /// Exactly both.
    Both {
        /// Households.
        households: u64,
        /// Records: between one and six for each household.
        records: u64,
    },
}

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Options {
    /// The municipality whose people they are.
    pub municipality: MunicipalityCode,
    /// Everything that is drawn comes from it.
    pub seed: u64,
    /// How many.
    pub size: Size,
    /// Districts with exactly so many households; all others are spread over the other districts.
    pub districts: Vec<(String, u64)>,
    /// Districts that are left out of the file and stay in the tally: a faulty extract.
    pub omit: Vec<String>,
    /// So many records get a wrong check digit.
    pub wrong_check_digits: u64,
    /// So many records stand in the file twice: the file has so many lines more.
    pub duplicates: u64,
    /// In which encoding.
    pub encoding: Encoding,
    /// Where the fields stand in a fixed-width file; CSV without it.
    pub layout: Option<layout::Layout>,
}

/// What cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// Households have one to six people.
    #[error("{records} records do not fit {households} households of one to six: change one of them")]
    Size {
        /// Households wanted.
        households: u64,
        /// Records wanted.
        records: u64,
    },
    /// The districts with a fixed number have more households than there are.
    #[error(
        "the districts have {wanted} households together, the extract {households}: make the two fit, or \
         leave a district free for the others"
    )]
    Districts {
        /// In all districts with a number.
        wanted: u64,
        /// In the extract.
        households: u64,
    },
    /// A district has two numbers.
    #[error("the district {0} stands there twice: add its numbers up")]
    DistrictTwice(String),
    /// A district that is left out is none of the municipality.
    #[error("the district {0} is to be left out, but the extract has none of that name: check the name")]
    UnknownDistrict(String),
    /// There are fewer records than faults.
    #[error("{wanted} faults are wanted in {records} records: ask for fewer")]
    Faults {
        /// Faults wanted.
        wanted: u64,
        /// Records in the file.
        records: u64,
    },
    /// A district cannot be written in the encoding.
    #[error("the district {0} cannot be written: {1}")]
    Unwritable(String, Unwritable),
}

/// A file that can be written: everything about it is known.
#[derive(Debug, Clone)]
pub struct Plan {
    options: Options,
    names: Vec<String>,
    written: Vec<bool>,
    tally: Vec<DistrictTotals>,
    households: u64,
    fixed: Vec<(usize, u64)>,
}

impl Plan {
    /// Counts what the options ask for.
    ///
    /// # Errors
    /// [`SampleError`] for wishes that exclude each other.
    pub fn new(options: Options) -> Result<Self, SampleError> {
        if let Size::Both { households, records } = options.size
            && !(households..=households.saturating_mul(6)).contains(&records)
        {
            return Err(SampleError::Size { households, records });
        }
        let mut names: Vec<String> = Vec::new();
        for (name, _) in &options.districts {
            if names.contains(name) {
                return Err(SampleError::DistrictTwice(name.clone()));
            }
            names.push(name.clone());
        }
        let fixed = options.districts.iter().enumerate().map(|(at, (_, count))| (at, *count)).collect();
        let own = places::districts(options.municipality).iter().map(|name| (*name).to_owned());
        let others: Vec<String> = own.filter(|name| !names.contains(name)).collect();
        names.extend(others);
        check_names(&options, &names)?;
        let written = names.iter().map(|name| !options.omit.contains(name)).collect();
        let tally = vec![DistrictTotals::default(); names.len()];
        let mut plan = Self { options, names, written, tally, households: 0, fixed };
        plan.count()?;
        Ok(plan)
    }

    fn count(&mut self) -> Result<(), SampleError> {
        self.households = Sizes::new(&self.options).count() as u64;
        let wanted = self.fixed.iter().fold(0u64, |sum, (_, count)| sum.saturating_add(*count));
        let all_fixed = self.fixed.len() == self.names.len();
        if wanted > self.households || (all_fixed && wanted < self.households) {
            return Err(SampleError::Districts { wanted, households: self.households });
        }
        for place in self.layout() {
            let tally = &mut self.tally[place.district];
            tally.households += 1;
            tally.records += u64::from(place.size);
        }
        let (records, wanted) = (self.records(), self.fault_counts());
        let wanted = wanted.iter().fold(0u64, |sum, (_, count)| sum.saturating_add(*count));
        if wanted > records {
            return Err(SampleError::Faults { wanted, records });
        }
        Ok(())
    }

    /// What was asked for.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Records that the file has, each counted once.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.sum(|tally| tally.records)
    }

    /// Households that the file has.
    #[must_use]
    pub fn households(&self) -> u64 {
        self.sum(|tally| tally.households)
    }

    /// The tally of the complete extract by district: what was left out of the file counts, what stands
    /// there twice counts once.
    #[must_use]
    pub fn tally(&self) -> BTreeMap<&str, DistrictTotals> {
        let all = self.names.iter().map(String::as_str).zip(self.tally.iter().copied());
        all.filter(|(_, tally)| tally.households > 0).collect()
    }

    /// The same as a file of control totals, `district,households,records`, in the encoding of the record
    /// file.
    ///
    /// # Errors
    /// [`Unwritable`] if the encoding has no character for a district, which the plan has checked.
    pub fn control_totals(&self) -> Result<Vec<u8>, Unwritable> {
        let (mut row, mut out) = (Row::new(self.options.encoding), Vec::new());
        row.header(["district", "households", "records"], &mut out)?;
        for (district, tally) in self.tally() {
            let (households, records) = (tally.households.to_string(), tally.records.to_string());
            row.cells([district, &households, &records], &mut out)?;
        }
        Ok(out)
    }

    /// The file's lines, from the first.
    #[must_use]
    pub fn lines(&self) -> Lines {
        Lines::new(self.clone())
    }

    fn sum(&self, of: impl Fn(&DistrictTotals) -> u64) -> u64 {
        self.tally
            .iter()
            .zip(&self.written)
            .filter(|(_, written)| **written)
            .map(|(tally, _)| of(tally))
            .sum()
    }

    pub(crate) fn is_written(&self, district: usize) -> bool {
        self.written[district]
    }

    pub(crate) fn district(&self, district: usize) -> &str {
        &self.names[district]
    }

    pub(crate) fn fault_deal(&self) -> Deal<FaultKind> {
        Deal::new(self.records(), self.fault_counts()).expect("the plan checked that the faults fit")
    }

    fn fault_counts(&self) -> Vec<(FaultKind, u64)> {
        let Options { wrong_check_digits, duplicates, .. } = self.options;
        vec![(FaultKind::WrongCheckDigit, wrong_check_digits), (FaultKind::Duplicate, duplicates)]
    }

    /// All households of the complete extract, in order.
    pub(crate) fn layout(&self) -> Layout {
        Layout {
            sizes: Sizes::new(&self.options),
            fixed: Deal::new(self.households, self.fixed.clone()).expect("the plan checked that they fit"),
            free: self.fixed.len()..self.names.len(),
            random: Random::of(self.options.seed, "districts", 0),
            index: 0,
        }
    }
}

fn check_names(options: &Options, names: &[String]) -> Result<(), SampleError> {
    for name in &options.omit {
        if !names.contains(name) {
            return Err(SampleError::UnknownDistrict(name.clone()));
        }
    }
    if options.encoding == Encoding::Cp932 {
        for name in names {
            cp932(name, &mut Vec::new()).map_err(|fault| SampleError::Unwritable(name.clone(), fault))?;
        }
    }
    Ok(())
}

/// What can be wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    WrongCheckDigit,
    Duplicate,
}

/// Where a household is, and how many people it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) index: u64,
    pub(crate) size: u32,
    pub(crate) district: usize,
}

/// The households one after the other, without their people.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    sizes: Sizes,
    fixed: Deal<usize>,
    free: std::ops::Range<usize>,
    random: Random,
    index: u64,
}

impl Iterator for Layout {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        let size = self.sizes.next()?;
        let district = self.fixed.next(&mut self.random).unwrap_or_else(|| {
            let free = self.random.below(self.free.len() as u64);
            self.free.start + usize::try_from(free).expect("it is an index")
        });
        self.index += 1;
        Some(Place { index: self.index - 1, size, district })
    }
}

// Of a thousand households, those with one person, two, and so on: 2.17 on the average, much as in the
// census.
const OF_A_THOUSAND: [(u32, u64); 6] = [(1, 380), (2, 300), (3, 160), (4, 110), (5, 35), (6, 15)];

#[derive(Debug, Clone)]
enum Left {
    Records(u64),
    Households(u64),
    Both { households: u64, extra: Deal<()> },
}

#[derive(Debug, Clone)]
struct Sizes {
    left: Left,
    random: Random,
}

impl Sizes {
    fn new(options: &Options) -> Self {
        let left = match options.size {
            Size::Records(records) => Left::Records(records),
            Size::Households(households) => Left::Households(households),
            // One person lives in each; the others are dealt over the five places that are left in each.
            Size::Both { households, records } => Left::Both {
                households,
                extra: Deal::new(households * 5, vec![((), records - households)])
                    .expect("the plan checked that they fit"),
            },
        };
        Self { left, random: Random::of(options.seed, "sizes", 0) }
    }

    fn natural(random: &mut Random) -> u32 {
        let mut drawn = random.below(1000);
        for (size, share) in OF_A_THOUSAND {
            if drawn < share {
                return size;
            }
            drawn -= share;
        }
        1
    }
}

impl Iterator for Sizes {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match &mut self.left {
            Left::Records(0) | Left::Households(0) | Left::Both { households: 0, .. } => None,
            Left::Records(left) => {
                let size = Self::natural(&mut self.random).min(u32::try_from(*left).unwrap_or(u32::MAX));
                *left -= u64::from(size);
                Some(size)
            }
            Left::Households(left) => {
                *left -= 1;
                Some(Self::natural(&mut self.random))
            }
            Left::Both { households, extra } => {
                *households -= 1;
                Some((0..5).fold(1, |size, _| size + u32::from(extra.next(&mut self.random).is_some())))
            }
        }
    }
}
