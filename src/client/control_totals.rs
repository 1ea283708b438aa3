//! Compares a file with a tally from another source, district by district, before anything is sent: a faulty
//! extract shows here and nowhere else.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    input_fault::InputFault,
    reader::{ReadOptions, Table},
};
use crate::domain::{
    manifest::DISTRICTS_MAX,
    totals::{DistrictTotals, Totals},
};

const COLUMNS: [&str; 3] = ["district", "households", "records"];

/// What another source says a batch must hold, by district.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlTotals {
    districts: BTreeMap<String, DistrictTotals>,
}

/// One district whose numbers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistrictDifference {
    /// The district.
    pub district: String,
    /// Households by the control totals, and in the file.
    pub households: (u64, u64),
    /// Records by the control totals, and in the file.
    pub records: (u64, u64),
}

impl std::fmt::Display for DistrictDifference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { district, households, records } = self;
        write!(
            f,
            "{district}: {} households by the control totals, {} in the file; {} records by the control \
             totals, {} in the file",
            households.0, households.1, records.0, records.1
        )
    }
}

impl ControlTotals {
    /// Reads `district,households,records`.
    ///
    /// # Errors
    /// [`InputFault`] as for record files, and for a number that is none or a district that
    /// stands there twice.
    pub fn load(path: &Path, options: &ReadOptions) -> Result<Self, InputFault> {
        let mut table = Table::open(path, options, &COLUMNS, &COLUMNS)?;
        let mut districts = BTreeMap::new();
        while table.next_row()? {
            let number = |name: &str| {
                table.cell(name).parse::<u64>().map_err(|_| {
                    table.fault_in(name, "is not a whole number", "Write digits only, without separators")
                })
            };
            let totals = DistrictTotals { households: number("households")?, records: number("records")? };
            let district = table.cell("district");
            if district.is_empty() {
                return Err(table.fault_in("district", "is empty", "Name the district"));
            }
            if districts.insert(district.to_owned(), totals).is_some() {
                return Err(table.fault_in("district", "stands there twice", "Add its lines up into one"));
            }
            if districts.len() > DISTRICTS_MAX {
                let remedy = "Split the batch: a manifest holds 10,000 districts";
                return Err(table.fault_in("district", "is one too many", remedy));
            }
        }
        Ok(Self { districts })
    }

    /// Returns every district whose numbers differ, in order of name; a district that only one side has
    /// counts as zero on the other.
    #[must_use]
    pub fn differences(&self, totals: &Totals) -> Vec<DistrictDifference> {
        let names: BTreeSet<&String> = self.districts.keys().chain(totals.districts.keys()).collect();
        let of = |side: &BTreeMap<String, DistrictTotals>, name: &String| {
            side.get(name).map_or((0, 0), |totals| (totals.households, totals.records))
        };
        names
            .into_iter()
            .filter_map(|name| {
                let (theirs, ours) = (of(&self.districts, name), of(&totals.districts, name));
                (theirs != ours).then(|| DistrictDifference {
                    district: name.clone(),
                    households: (theirs.0, ours.0),
                    records: (theirs.1, ours.1),
                })
            })
            .collect()
    }
}
