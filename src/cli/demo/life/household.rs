//! A household of people who do not exist, and its records.

use std::path::Path;

use super::super::trouble::Trouble;
use crate::domain::rules::check_digit;

/// One person of it.
pub(crate) struct Person {
    /// The order that says for whom a card is.
    pub(crate) order: &'static str,
    name: &'static str,
    /// Day of birth.
    pub(crate) birth: &'static str,
    /// As ISO 5218 has it.
    pub(crate) sex: u32,
    number: [u8; 11],
}

/// All of it.
pub(crate) struct Household {
    /// In the order of the file.
    pub(crate) people: [Person; 3],
}

/// The columns of a record file that are needed.
const HEADER: &str = "order_id,kind,household_id,district,name,birth_date,sex,address,individual_number";

impl Household {
    /// Parent, child and grandparent.
    pub(crate) fn of_three() -> Self {
        let person = |order, name, birth, sex, number| Person { order, name, birth, sex, number };
        let numbers = |last| [9, 9, 0, 0, 0, 0, 0, 0, 0, 7, last];
        Self {
            people: [
                person("S-PARENT", "見本 花子", "1980-05-05", 2, numbers(1)),
                person("S-CHILD", "見本 太郎", "2008-03-03", 1, numbers(2)),
                person("S-GRAND", "見本 一", "1950-01-01", 1, numbers(3)),
            ],
        }
    }

    /// Writes its records, and as many of a neighbour, whose envelope will be missing.
    ///
    /// # Errors
    /// [`Trouble::File`].
    pub(crate) fn write(&self, file: &Path) -> Result<(), Trouble> {
        let mut lines = vec![HEADER.to_owned()];
        lines.extend(self.people.iter().map(|one| one.record("S-HOUSE")));
        let number = [9, 9, 0, 0, 0, 0, 0, 0, 0, 8, 1];
        let (order, name) = (NEIGHBOUR, "架空 次郎");
        let neighbour = Person { order, name, birth: "1970-07-07", sex: 1, number };
        lines.push(neighbour.record("S-NEXT"));
        std::fs::write(file, lines.join("\n") + "\n").map_err(Trouble::file(file))
    }
}

/// The order of a neighbour.
pub(crate) const NEIGHBOUR: &str = "S-NEIGHBOUR";

impl Person {
    fn record(&self, household: &str) -> String {
        let digits: String = self.number.iter().chain([&check_digit(self.number)]).map(digit).collect();
        let Self { order, name, birth, sex, .. } = self;
        format!(
            "{order},NOTIFICATION_CARD,{household},白鳥,{name},{birth},{sex},東京都葛飾区白鳥1-1-1,{digits}"
        )
    }
}

fn digit(digit: &u8) -> char {
    char::from(b'0' + digit)
}
