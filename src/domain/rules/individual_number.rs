//! The check digit of the individual number (個人番号): it finds most typing errors, and a valid one is never
//! proof that the number exists or is the right one.

/// Weights of the first eleven digits, from the left.
const WEIGHTS: [u32; 11] = [6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2];

/// Why twelve characters are no individual number; the number itself is never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndividualNumberFault {
    /// Not twelve digits.
    #[error("an individual number has twelve digits")]
    Format,
    /// The last digit does not fit the others.
    #[error("the check digit does not fit: compare the number with the card")]
    CheckDigit,
}

/// Returns the twelfth digit for the first eleven.
///
/// Source: Ordinance 85 of 2014 of the Ministry of Internal Affairs and Communications, Article 5.
#[must_use]
pub fn check_digit(eleven: [u8; 11]) -> u8 {
    let sum: u32 = eleven.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(*digit) * weight).sum();
    match sum % 11 {
        0 | 1 => 0,
        rest => u8::try_from(11 - rest).expect("11 less 2 to 10"),
    }
}

/// Checks an individual number of twelve digits.
///
/// # Errors
/// [`IndividualNumberFault`].
pub fn check_individual_number(text: &str) -> Result<(), IndividualNumberFault> {
    let bytes: [u8; 12] = text.as_bytes().try_into().map_err(|_| IndividualNumberFault::Format)?;
    if !bytes.iter().all(u8::is_ascii_digit) {
        return Err(IndividualNumberFault::Format);
    }
    let digits = bytes.map(|b| b - b'0');
    let [eleven @ .., check] = digits;
    if check_digit(eleven) == check { Ok(()) } else { Err(IndividualNumberFault::CheckDigit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_of(eleven: &str) -> u8 {
        let digits: Vec<u8> = eleven.bytes().map(|b| b - b'0').collect();
        check_digit(digits.try_into().expect("eleven digits"))
    }

    #[test]
    fn the_published_check_digits_are_ours() {
        for (eleven, check) in [
            ("12345678901", 8),
            ("98320567321", 4),
            ("00000000006", 0),
            ("10000000000", 5),
            ("00000000000", 0),
        ] {
            assert_eq!(check_of(eleven), check, "{eleven}");
            assert_eq!(check_individual_number(&format!("{eleven}{check}")), Ok(()));
            let wrong = format!("{eleven}{}", (check + 1) % 10);
            assert_eq!(check_individual_number(&wrong), Err(IndividualNumberFault::CheckDigit));
        }
        for bad in ["", "12345678901", "1234567890188", "12345678901X", "１２３４"] {
            assert_eq!(check_individual_number(bad), Err(IndividualNumberFault::Format), "{bad}");
        }
    }

    /// 1.7 % of single errors pass, because two remainders share the check digit 0: the rule is a filter, no
    /// proof.
    #[test]
    fn about_one_single_error_in_sixty_passes() {
        let (mut errors, mut passed) = (0u32, 0u32);
        for n in 0..3000u64 {
            let eleven = format!("{:011}", n * 33_331_777 % 100_000_000_000);
            let number = format!("{eleven}{}", check_of(&eleven));
            for at in 0..12 {
                for digit in b'0'..=b'9' {
                    let mut wrong = number.clone().into_bytes();
                    if wrong[at] == digit {
                        continue;
                    }
                    wrong[at] = digit;
                    errors += 1;
                    let wrong = String::from_utf8(wrong).expect("digits");
                    passed += u32::from(check_individual_number(&wrong).is_ok());
                }
            }
        }
        let share = f64::from(passed) / f64::from(errors);
        assert!((0.012..0.022).contains(&share), "{share}");
    }
}
