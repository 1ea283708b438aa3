//! What a batch adds up to: two sets of records with the same totals are the same records in the same order.

use std::collections::{BTreeMap, HashMap};

use super::{
    digest::Digest,
    households::{Households, Key, Tally},
    merkle,
    record::{Field, Record},
};

/// What one district (町丁) has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DistrictTotals {
    /// Households: different household ids among the district's records.
    pub households: u64,
    /// Records.
    pub records: u64,
}

/// Every total of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Records.
    pub records: u64,
    /// Canonical bytes of all records.
    pub bytes: u64,
    /// Households; one that has records in two districts counts in both, so that the districts add up.
    pub households: u64,
    /// Records of each kind.
    pub kinds: BTreeMap<String, u64>,
    /// Households and records of each district.
    pub districts: BTreeMap<String, DistrictTotals>,
    /// Sum, modulo 2^128, of the first 16 bytes of the SHA-256 of each order id: lost, doubled and altered
    /// keys show in it, whatever the order.
    pub hash_total: u128,
    /// RFC 6962 root over the records.
    pub merkle_root: Digest,
}

/// One total that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which total, such as `records` or `district 白鳥`.
    pub which: String,
    /// What was declared.
    pub declared: String,
    /// What was computed.
    pub computed: String,
}

impl Totals {
    /// Returns every total of `computed` that is not the one declared here.
    #[must_use]
    pub fn differences(&self, computed: &Totals) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut note = |which: String, declared: String, computed: String| {
            if declared != computed {
                found.push(Difference { which, declared, computed });
            }
        };
        let mut number = |which: &str, a: u64, b: u64| note(which.to_owned(), a.to_string(), b.to_string());
        number("records", self.records, computed.records);
        number("bytes", self.bytes, computed.bytes);
        number("households", self.households, computed.households);
        for (name, (declared, computed)) in both(&self.kinds, &computed.kinds) {
            number(&format!("kind {name}"), declared, computed);
        }
        for (name, (declared, computed)) in both(&self.districts, &computed.districts) {
            note(format!("district {name}"), in_words(&declared), in_words(&computed));
        }
        let hash_total = |totals: &Totals| format!("{:032x}", totals.hash_total);
        note("hash-total".to_owned(), hash_total(self), hash_total(computed));
        note("merkle-root".to_owned(), self.merkle_root.to_string(), computed.merkle_root.to_string());
        found
    }

    /// Whether the kinds, or the districts, come to the number of records.
    pub(super) fn counts_its_records(&self) -> bool {
        sum(self.kinds.values().copied()) == Some(self.records)
            || sum(self.districts.values().map(|d| d.records)) == Some(self.records)
    }

    /// Returns what does not add up within these totals themselves, in words.
    #[must_use]
    pub fn unclosed(&self) -> Vec<String> {
        let mut found = Vec::new();
        if sum(self.kinds.values().copied()) != Some(self.records) {
            found.push(format!("the kinds do not add up to {} records", self.records));
        }
        if sum(self.districts.values().map(|d| d.records)) != Some(self.records) {
            found.push(format!("the districts do not add up to {} records", self.records));
        }
        if sum(self.districts.values().map(|d| d.households)) != Some(self.households) {
            found.push(format!("the districts do not add up to {} households", self.households));
        }
        let possible = |d: &DistrictTotals| (1..=d.records).contains(&d.households);
        if !self.districts.values().all(possible) || self.kinds.values().any(|records| *records == 0) {
            found
                .push("a kind without records, or a district without or with too many households".to_owned());
        }
        let nothing = (self.bytes, self.hash_total, self.merkle_root) == (0, 0, merkle::root(&[]));
        if self.records == 0 && !nothing {
            found.push("a batch without records has 0 bytes, hash total 0 and the empty root".to_owned());
        }
        found
    }
}

fn sum(mut numbers: impl Iterator<Item = u64>) -> Option<u64> {
    numbers.try_fold(0, u64::checked_add)
}

fn in_words(district: &DistrictTotals) -> String {
    format!("{} households, {} records", district.households, district.records)
}

/// Pairs two maps by key; what one side does not have is nothing.
fn both<'a, V: Default + Copy>(
    declared: &'a BTreeMap<String, V>,
    computed: &'a BTreeMap<String, V>,
) -> BTreeMap<&'a String, (V, V)> {
    let names = declared.keys().chain(computed.keys());
    let of = |side: &BTreeMap<String, V>, name: &String| side.get(name).copied().unwrap_or_default();
    names.map(|name| (name, (of(declared, name), of(computed, name)))).collect()
}

/// Adds records up in the order of the batch. Holds 20 bytes for each household until they are taken out, not
/// the records.
#[derive(Debug, Default)]
pub struct TotalsBuilder {
    records: u64,
    bytes: u64,
    kinds: BTreeMap<String, u64>,
    /// Each district's number, in order of appearance, and its records.
    districts: HashMap<String, (u32, u64)>,
    households: Households,
    household: Vec<u8>,
    last_household: Vec<u8>,
    hash_total: u128,
    tree: merkle::Accumulator,
}

impl TotalsBuilder {
    /// Adds the next record, whose canonical bytes are `canonical`, and returns its leaf hash.
    pub fn add(&mut self, record: &Record, canonical: &[u8]) -> Digest {
        self.records += 1;
        self.bytes += canonical.len() as u64;
        self.hash_total = self.hash_total.wrapping_add(first_16(record.text(Field::OrderId).as_bytes()));
        let kind = record.text(Field::Kind);
        if let Some(records) = self.kinds.get_mut(kind) {
            *records += 1;
        } else {
            self.kinds.insert(kind.to_owned(), 1);
        }
        let name = record.text(Field::District);
        let number = if let Some((number, records)) = self.districts.get_mut(name) {
            *records += 1;
            *number
        } else {
            let number = u32::try_from(self.districts.len()).expect("a batch has at most 10,000,000 records");
            self.districts.insert(name.to_owned(), (number, 1));
            number
        };
        self.add_household(number, name, record.text(Field::HouseholdId));
        let leaf = merkle::leaf_hash(canonical);
        self.tree.push(leaf);
        leaf
    }

    // A household is known by a digest of district and id, which nobody can make collide with another's.
    fn add_household(&mut self, number: u32, district: &str, id: &str) {
        self.household.clear();
        self.household.extend_from_slice(district.as_bytes());
        self.household.push(b'\n');
        self.household.extend_from_slice(id.as_bytes());
        // Files are mostly sorted by household, so the one before is the likeliest.
        if self.household != self.last_household {
            std::mem::swap(&mut self.household, &mut self.last_household);
            self.households.add(number, &Digest::of(&self.last_household));
        }
    }

    /// How many districts were met so far.
    #[must_use]
    pub fn district_count(&self) -> usize {
        self.districts.len()
    }

    /// How many households are held, of those that were not taken out; some may be held twice.
    #[must_use]
    pub fn households_held(&self) -> usize {
        self.households.held()
    }

    /// Takes out the households that are held, sorted and each once. One that comes again is held again, so
    /// whoever took some out has to count all together, for [`TotalsBuilder::finish_with`].
    pub fn take_households(&mut self) -> Vec<Key> {
        self.households.take()
    }

    /// Returns the totals of what was added, if no household was taken out.
    #[must_use]
    pub fn finish(mut self) -> Totals {
        let households = std::mem::take(&mut self.households);
        self.finish_with(&households.tally())
    }

    /// Returns the totals of what was added; the tally is of all households, which were taken out.
    #[must_use]
    pub fn finish_with(self, households: &Tally) -> Totals {
        let total = |(number, records)| DistrictTotals { households: households.of(number), records };
        Totals {
            records: self.records,
            bytes: self.bytes,
            households: households.sum(),
            kinds: self.kinds,
            districts: self.districts.into_iter().map(|(name, met)| (name, total(met))).collect(),
            hash_total: self.hash_total,
            merkle_root: self.tree.root(),
        }
    }
}

fn first_16(bytes: &[u8]) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&Digest::of(bytes).0[..16]);
    u128::from_be_bytes(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(order_id: &str, kind: &str, household: &str, district: &str) -> Record {
        let mut record = Record::default();
        record.set(Field::OrderId, order_id);
        record.set(Field::Kind, kind);
        record.set(Field::HouseholdId, household);
        record.set(Field::District, district);
        record
    }

    fn totals(records: &[Record]) -> Totals {
        let mut builder = TotalsBuilder::default();
        for record in records {
            let mut canonical = Vec::new();
            record.encode(&mut canonical);
            assert_eq!(builder.add(record, &canonical), merkle::leaf_hash(&canonical));
        }
        assert_eq!(builder.district_count(), builder.districts.len());
        builder.finish()
    }

    fn sample() -> Vec<Record> {
        vec![
            record("K-1", "A", "H1", "白鳥"),
            record("K-2", "B", "H1", "白鳥"),
            record("K-3", "A", "H2", "白鳥"),
            record("K-4", "A", "H2", "亀有"),
            record("K-5", "A", "H1", "白鳥"),
        ]
    }

    fn which(a: &[Record], b: &[Record]) -> Vec<String> {
        totals(a).differences(&totals(b)).into_iter().map(|d| d.which).collect()
    }

    #[test]
    fn each_total_is_what_its_name_says() {
        let found = totals(&sample());
        assert_eq!((found.records, found.households), (5, 3));
        assert_eq!(found.kinds, BTreeMap::from([("A".to_owned(), 4), ("B".to_owned(), 1)]));
        assert_eq!(found.districts["白鳥"], DistrictTotals { households: 2, records: 4 });
        assert_eq!(found.districts["亀有"], DistrictTotals { households: 1, records: 1 });
        let expected = ["K-1", "K-2", "K-3", "K-4", "K-5"].iter().fold(0u128, |sum, id| {
            let bytes: [u8; 16] = Digest::of(id.as_bytes()).0[..16].try_into().expect("16 bytes");
            sum.wrapping_add(u128::from_be_bytes(bytes))
        });
        assert_eq!(found.hash_total, expected);
        let none = totals(&[]);
        assert_eq!((none.records, none.hash_total, none.merkle_root), (0, 0, Digest::of(b"")));
    }

    #[test]
    fn each_kind_of_loss_shows_in_its_own_total() {
        let all = sample();
        assert_eq!(which(&all, &all), Vec::<String>::new());
        let mut order = all.clone();
        order.swap(0, 1);
        assert_eq!(which(&all, &order), ["merkle-root"], "the hash total does not depend on the order");
        let mut renamed = all.clone();
        renamed[0].set(Field::OrderId, "K-9");
        assert_eq!(which(&all, &renamed), ["hash-total", "merkle-root"]);
        let lost = which(&all, &all[..3]);
        let expected = [
            "records",
            "bytes",
            "households",
            "kind A",
            "district 亀有",
            "district 白鳥",
            "hash-total",
            "merkle-root",
        ];
        assert_eq!(lost, expected);
        let doubled = [all.clone(), vec![all[0].clone()]].concat();
        assert!(which(&all, &doubled).contains(&"hash-total".to_owned()));
        let mut moved = all.clone();
        moved[4].set(Field::District, "亀有");
        assert_eq!(
            which(&all, &moved),
            ["households", "district 亀有", "district 白鳥", "merkle-root"],
            "the same bytes in another district"
        );
    }

    #[test]
    fn a_difference_says_both_sides() {
        let difference = &totals(&sample()).differences(&totals(&sample()[..4]))[3];
        assert_eq!(difference.which, "district 白鳥");
        assert_eq!(difference.declared, "2 households, 4 records");
        assert_eq!(difference.computed, "2 households, 3 records");
    }

    #[test]
    fn a_households_id_may_be_as_long_as_a_field() {
        let long = "h".repeat(4000);
        let found =
            totals(&[record("1", "A", &long, "d"), record("2", "A", "h", "d"), record("3", "A", &long, "d")]);
        assert_eq!(found.households, 2);
    }
}
