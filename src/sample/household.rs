//! Makes one household up: its people fit together (couples, parents, children), and depend on nothing
//! but the seed and the household's own number.

use std::fmt::Write as _;

use super::{
    names::{self, Family},
    places,
    plan::{Place, Plan},
    random::Random,
};
use crate::domain::{date::days_of, rules};

/// Ages are counted at the day that the first numbers were given out, 5 October 2015: a file must not
/// depend on the day it is made.
const YEAR: u32 = 2015;
const MONTHS_OF_YEAR: u32 = 9;

/// People who live together.
#[derive(Debug, Clone)]
pub(crate) struct Household {
    pub(crate) household_id: String,
    pub(crate) district: String,
    pub(crate) address: String,
    pub(crate) family: Family,
    pub(crate) people: Vec<Person>,
}

/// One of them: one record.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) order_id: String,
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) substitute_name: String,
    pub(crate) reading: String,
    pub(crate) reading_source: &'static str,
    pub(crate) birth_date: String,
    pub(crate) sex: &'static str,
    pub(crate) delivery_address: &'static str,
    pub(crate) individual_number: String,
    pub(crate) protected: &'static str,
    pub(crate) accommodations: &'static str,
}

impl Household {
    /// The household at `place`, whose first record has the number `first_person`.
    pub(crate) fn new(plan: &Plan, place: Place, first_person: u64) -> Self {
        let options = plan.options();
        let mut random = Random::of(options.seed, "household", place.index);
        let district = plan.district(place.district).to_owned();
        let address = address(&mut random, &places::town(options.municipality), &district);
        let family = names::family_name(&mut random, options.encoding);
        // The measure protects people at an address, so it holds for all of them.
        let protected = if random.per_mille(5) { "1" } else { "0" };
        let ages = ages(&mut random, place.size);
        let mut people = Vec::with_capacity(ages.len());
        for (number, age) in (first_person..).zip(ages) {
            let mut person = person(&mut random, family, age);
            person.order_id = format!("S{}-{number:08}", options.seed);
            person.protected = protected;
            person.individual_number = individual_number(options.seed, number);
            if random.per_mille(10) {
                // "No number given" is a legal value everywhere.
                person.individual_number.clear();
            }
            people.push(person);
        }
        let household_id = format!("H{}-{:07}", options.seed, place.index);
        Self { household_id, district, address, family, people }
    }
}

impl Person {
    /// Gives the person a number whose check digit is wrong.
    pub(crate) fn spoil_check_digit(&mut self) {
        if self.individual_number.is_empty() {
            self.individual_number = with_check_digit("99000000000");
        }
        let last = self.individual_number.pop().and_then(|digit| digit.to_digit(10)).unwrap_or(0);
        let _ = write!(self.individual_number, "{}", (last + 1) % 10);
    }
}

fn address(random: &mut Random, town: &str, district: &str) -> String {
    let chome = random.one(&["一", "二", "三", "四", "五"]);
    let (block, house) = (random.between(1, 30), random.between(1, 25));
    let mut address = format!("{town}{district}{chome}丁目{block}番{house}号");
    if random.per_mille(300) {
        let building = random.one(&["コーポ", "メゾン", "ハイツ", "グランドール"]);
        let room = random.between(1, 9) * 100 + random.between(1, 12);
        // Now and then as some systems write it, with a comma, so that the cell needs quotes.
        let space = if random.per_mille(100) { "," } else { "　" };
        let _ = write!(address, "{space}{building}{district}{room}号室");
    }
    address
}

// The ages of a household's people, adults first.
fn ages(random: &mut Random, size: u32) -> Vec<u32> {
    let couple = |random: &mut Random, first: u32, last: u32| {
        let age = random.between(first, last);
        [age, (age + random.between(0, 8)).saturating_sub(4)]
    };
    match size {
        1 => vec![random.between(19, 94)],
        2 if random.per_mille(700) => couple(random, 24, 88).to_vec(),
        2 => {
            let parent = random.between(24, 80);
            vec![parent, child_of(random, parent)]
        }
        _ => {
            let parents = couple(random, 25, 58);
            let younger = parents[0].min(parents[1]);
            let mut ages = parents.to_vec();
            let grandparent = size > 3 && random.per_mille(250);
            let children = size - 2 - u32::from(grandparent);
            ages.extend((0..children).map(|_| child_of(random, younger)));
            if grandparent {
                ages.push(parents[0].max(parents[1]) + random.between(22, 36));
            }
            ages
        }
    }
}

fn child_of(random: &mut Random, parent: u32) -> u32 {
    let born_at = random.between(19, 40).min(parent);
    parent - born_at
}

fn person(random: &mut Random, family: Family, age: u32) -> Person {
    let sex = match random.below(2000) {
        0 => "0",
        1 => "9",
        n if n % 2 == 0 => "1",
        _ => "2",
    };
    let (given, reading) = names::given_name(random, sex);
    let substitute = family.substitute;
    let month = random.between(1, if age == 0 { MONTHS_OF_YEAR } else { 12 });
    let year = YEAR - age;
    let days = days_of(year.cast_signed(), u8::try_from(month).expect("12 at most"));
    let day = random.between(1, u32::from(days));
    let accommodated = random.per_mille(if age >= 70 { 60 } else { 10 });
    let accommodations = *random.one(&ACCOMMODATIONS);
    Person {
        order_id: String::new(),
        kind: if random.per_mille(900) { "NOTIFICATION_CARD" } else { "INDIVIDUAL_NUMBER_CARD" },
        name: format!("{}　{given}", family.written),
        substitute_name: if substitute.is_empty() {
            String::new()
        } else {
            format!("{substitute}　{given}")
        },
        reading: format!("{}　{reading}", family.read),
        reading_source: random.one::<&str>(&["declared", "vendor", "vendor", "inferred"]),
        birth_date: format!("{year:04}-{month:02}-{day:02}"),
        sex,
        delivery_address: if random.per_mille(8) {
            "見本県見本市避難先一丁目1番1号"
        } else {
            ""
        },
        individual_number: String::new(),
        protected: "0",
        accommodations: if accommodated { accommodations } else { "" },
    }
}

const ACCOMMODATIONS: [&str; 6] = [
    "BRAILLE",
    "LARGE_PRINT",
    "READ_ALOUD",
    "PROXY_WRITING",
    "BRAILLE;READ_ALOUD",
    "LARGE_PRINT;PROXY_WRITING",
];

// 99 and nine digits: a billion people go through them in an order that the seed turns, none of them twice.
fn individual_number(seed: u64, person: u64) -> String {
    const DIGITS: u64 = 1_000_000_000;
    // Prime to ten, so that the multiplication only changes the order; near the golden section of 10^9.
    const STEP: u64 = 618_033_989;
    let turned = Random::of(seed, "numbers", 0).below(DIGITS);
    with_check_digit(&format!("99{:09}", (person % DIGITS * STEP + turned) % DIGITS))
}

fn with_check_digit(eleven: &str) -> String {
    let mut digits = [0; 11];
    eleven.bytes().zip(&mut digits).for_each(|(letter, digit)| *digit = letter - b'0');
    format!("{eleven}{}", rules::check_digit(digits))
}
