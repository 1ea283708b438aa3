//! A photograph as it is declared on the command line: its reference, and how the person on it looks.

use clap::Args;

use crate::{domain::item::ItemId, wire::pb};

/// The photograph of an application.
#[derive(Debug, Clone, Args)]
pub(super) struct PhotoArgs {
    /// The reference of the photograph, which is kept elsewhere
    #[arg(long, value_name = "REFERENCE")]
    photo: ItemId,
    /// From which to which age the person on it looks, in full years [default: not declared]
    #[arg(long, value_name = "FROM-TO", value_parser = ages)]
    ages: Option<(u32, u32)>,
    /// The sex of the person on it, as ISO 5218 has it: 0 not known, 1 male, 2 female, 9 not applicable
    #[arg(long, value_name = "DIGIT", default_value_t = 0, value_parser = sex)]
    sex: u32,
}

impl PhotoArgs {
    pub(super) fn photo(&self) -> pb::Photo {
        let (age_from, age_to) = self.ages.unwrap_or_default();
        pb::Photo { reference: self.photo.to_string(), age_from, age_to, sex: self.sex }
    }
}

fn ages(text: &str) -> Result<(u32, u32), String> {
    let read = || {
        let (from, to) = text.split_once('-')?;
        let (from, to): (u8, u8) = (from.parse().ok()?, to.parse().ok()?);
        (from <= to && to > 0).then_some((from.into(), to.into()))
    };
    read().ok_or_else(|| "must be two ages with the younger one first, such as 30-45".to_owned())
}

fn sex(text: &str) -> Result<u32, String> {
    match text {
        "0" | "1" | "2" | "9" => Ok(text.parse().expect("it is a digit")),
        _ => Err("must be 0, 1, 2 or 9".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_two_with_the_younger_first() {
        assert_eq!(ages("30-45"), Ok((30, 45)));
        assert_eq!(ages("0-1"), Ok((0, 1)));
        for bad in ["", "30", "45-30", "0-0", "30-", "-45", "30-256", "a-b"] {
            assert!(ages(bad).expect_err(bad).contains("30-45"), "{bad}");
        }
    }
}
