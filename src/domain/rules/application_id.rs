//! An application ID (申請書ID) with one wrong digit, or two neighbours swapped, is never a valid one.

use std::{fmt, str::FromStr};

/// Digits of an application ID: 21 from a CSPRNG and two check digits.
const DIGITS: usize = 23;

/// An application ID with right check digits (ISO/IEC 7064 MOD 97-10). Always used together with the birth
/// date; its debug form shows nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ApplicationId([u8; DIGITS]);

/// The text is no application ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an application ID has 23 digits, of which the last two check the others: compare it with the form")]
pub struct BadApplicationId;

impl ApplicationId {
    /// Returns the ID of 21 random digits, each 0 to 9; `None` if one is not.
    #[must_use]
    pub fn of_random(digits: [u8; 21]) -> Option<Self> {
        if digits.iter().any(|digit| *digit > 9) {
            return None;
        }
        let check = 98 - remainder(digits.into_iter().chain([0, 0]));
        let mut all = [0; DIGITS];
        all[..21].copy_from_slice(&digits);
        let small = |n: u32| u8::try_from(n).expect("a digit");
        (all[21], all[22]) = (small(check / 10), small(check % 10));
        Some(Self(all))
    }
}

fn remainder(digits: impl Iterator<Item = u8>) -> u32 {
    digits.fold(0, |rest, digit| (rest * 10 + u32::from(digit)) % 97)
}

impl FromStr for ApplicationId {
    type Err = BadApplicationId;

    fn from_str(text: &str) -> Result<Self, BadApplicationId> {
        let bytes: [u8; DIGITS] = text.as_bytes().try_into().map_err(|_| BadApplicationId)?;
        if !bytes.iter().all(u8::is_ascii_digit) {
            return Err(BadApplicationId);
        }
        let digits = bytes.map(|b| b - b'0');
        // Check digits run from 02 to 98, so that 00 and 01, which would pass as 97 and 98 do, are none.
        let check = digits[21] * 10 + digits[22];
        let valid = remainder(digits.into_iter()) == 1 && (2..=98).contains(&check);
        if valid { Ok(Self(digits)) } else { Err(BadApplicationId) }
    }
}

impl fmt::Display for ApplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|digit| write!(f, "{digit}"))
    }
}

impl fmt::Debug for ApplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApplicationId(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_single_errors_and_neighbours_swapped_are_caught(digits in prop::array::uniform21(0u8..10)) {
            let id = ApplicationId::of_random(digits).expect("digits");
            let text = id.to_string();
            prop_assert_eq!(text.parse(), Ok(id));
            for at in 0..DIGITS {
                for digit in b'0'..=b'9' {
                    let mut wrong = text.clone().into_bytes();
                    if wrong[at] == digit {
                        continue;
                    }
                    wrong[at] = digit;
                    let wrong = String::from_utf8(wrong).expect("digits");
                    prop_assert_eq!(wrong.parse::<ApplicationId>(), Err(BadApplicationId), "{}", wrong);
                }
                let mut swapped = text.clone().into_bytes();
                if at + 1 < DIGITS && swapped[at] != swapped[at + 1] {
                    swapped.swap(at, at + 1);
                    let swapped = String::from_utf8(swapped).expect("digits");
                    prop_assert_eq!(swapped.parse::<ApplicationId>(), Err(BadApplicationId), "{}", swapped);
                }
            }
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            prop_assert!(text.parse::<ApplicationId>().is_err());
        }
    }

    #[test]
    fn the_standards_own_example_has_its_check_digits() {
        // ISO/IEC 7064: 794 has the check digits 44 under MOD 97-10.
        let mut digits = [0; 21];
        digits[18..].copy_from_slice(&[7, 9, 4]);
        let id = ApplicationId::of_random(digits).expect("digits");
        assert!(id.to_string().ends_with("79444"), "{id}");
        assert!(!format!("{id:?}").contains("794"));
        assert_eq!(ApplicationId::of_random([10; 21]), None);
    }
}
