//! A municipality code cannot be held without a right check digit.

use std::{fmt, str::FromStr};

/// Six digits of JIS X 0402: two for the prefecture, three for the municipality, one check digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MunicipalityCode(u32);

/// The text is not six digits, or the check digit is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no municipality code: six digits are needed, the last one being the check digit of JIS X 0402"
)]
pub struct BadMunicipalityCode(String);

impl MunicipalityCode {
    /// Returns the check digit of the five digits `a b c d e`: (11 − (6a+5b+4c+3d+2e) mod 11) mod 10.
    ///
    /// Source: JIS X 0402, as published by the Ministry of Internal Affairs with the list of codes.
    #[must_use]
    pub fn check_digit(five: [u8; 5]) -> u8 {
        let sum: u32 = five.iter().zip([6u32, 5, 4, 3, 2]).map(|(d, w)| u32::from(*d) * w).sum();
        u8::try_from((11 - sum % 11) % 10).expect("a number below 10 fits")
    }

    /// The two digits of the prefecture, 1 to 47.
    #[must_use]
    pub fn prefecture(self) -> u32 {
        self.0 / 10_000
    }
}

impl TryFrom<String> for MunicipalityCode {
    type Error = BadMunicipalityCode;

    fn try_from(text: String) -> Result<Self, BadMunicipalityCode> {
        text.parse()
    }
}

impl From<MunicipalityCode> for String {
    fn from(code: MunicipalityCode) -> String {
        code.to_string()
    }
}

impl FromStr for MunicipalityCode {
    type Err = BadMunicipalityCode;

    fn from_str(text: &str) -> Result<Self, BadMunicipalityCode> {
        let bad = || BadMunicipalityCode(text.chars().take(16).collect());
        let digits: [u8; 6] = text.as_bytes().try_into().map_err(|_| bad())?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(bad());
        }
        let d = digits.map(|b| b - b'0');
        let code = d.iter().fold(0u32, |n, digit| n * 10 + u32::from(*digit));
        if Self::check_digit([d[0], d[1], d[2], d[3], d[4]]) != d[5] || !(1..=47).contains(&(code / 10_000)) {
            return Err(bad());
        }
        Ok(Self(code))
    }
}

impl fmt::Display for MunicipalityCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn katsushika_is_131229() {
        assert_eq!(MunicipalityCode::check_digit([1, 3, 1, 2, 2]), 9);
        assert_eq!("131229".parse::<MunicipalityCode>().expect("right").to_string(), "131229");
        assert!("131220".parse::<MunicipalityCode>().is_err());
        assert!("13122".parse::<MunicipalityCode>().is_err());
        assert!("131２29".parse::<MunicipalityCode>().is_err());
    }

    /// The list of the Ministry of Internal Affairs: code, prefecture, name.
    fn list() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let text = include_str!("../../tests/data/municipalities.csv").trim_start_matches('\u{feff}');
        text.lines().skip(1).map(|line| {
            let mut cells = line.split(',');
            let mut cell = || cells.next().expect("three cells");
            (cell(), cell(), cell())
        })
    }

    #[test]
    fn every_code_of_the_list_is_right_and_no_other_check_digit_is() {
        assert_eq!(list().count(), 1741);
        for (text, ..) in list() {
            let code: MunicipalityCode = text.parse().expect(text);
            assert_eq!(code.to_string(), text);
            assert_eq!(code.prefecture().to_string(), text[..2].trim_start_matches('0'));
            for digit in 0..10 {
                let other = format!("{}{digit}", &text[..5]);
                assert_eq!(other.parse::<MunicipalityCode>().is_ok(), other == text, "{other}");
            }
        }
    }

    #[test]
    fn a_municipality_is_the_same_by_its_code_and_never_by_its_name() {
        for (five, names) in [("40344", ["須恵町", "須惠町"]), ("39405", ["梼原町", "檮原町"])] {
            assert_ne!(names[0], names[1], "two texts for one municipality");
            let of_either: Vec<_> = list().filter(|(.., listed)| names.contains(listed)).collect();
            assert_eq!(of_either.len(), 1, "{names:?}");
            assert!(of_either[0].0.starts_with(five), "{of_either:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String) {
            prop_assert!(text.parse::<MunicipalityCode>().is_err());
        }
    }
}
