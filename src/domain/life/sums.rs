//! A sum that does not close says which it is and what is unknown; one that closes says nothing.

use std::fmt;

words! {
    /// A sum that must close.
    pub enum Line, "a sum such as RETURNED" {
        /// What was ordered.
        Ordered = "ORDERED",
        /// What was printed.
        Printed = "PRINTED",
        /// What was put into an envelope.
        Inserted = "INSERTED",
        /// What was given to the post.
        Posted = "POSTED",
        /// What the post brought back.
        Returned = "RETURNED",
        /// The blank cards of a lot.
        Allocated = "ALLOCATED",
        /// The cards of a lot that were sent to municipalities.
        Shipped = "SHIPPED",
    }
}

impl Line {
    /// The sum in words.
    #[must_use]
    pub fn formula(self) -> &'static str {
        match self {
            Line::Ordered => "ordered = printed + waiting + scrapped",
            Line::Printed => "printed = inserted + waiting + spoiled",
            Line::Inserted => "inserted = posted + held",
            Line::Posted => "posted = delivered + returned + in transit + lost",
            Line::Returned => {
                "returned = handed out + redelivered + redelivering + stored + disposed + missing"
            }
            Line::Allocated => "allocated = consumed + scrapped + remaining",
            Line::Shipped => "shipped = arrived + in transit + lost",
        }
    }

    /// Returns the difference between the whole and its parts; `None` if there is none.
    #[must_use]
    pub fn difference(self, whole: u64, parts: &[u64]) -> Option<Difference> {
        let parts: i128 = parts.iter().map(|part| i128::from(*part)).sum();
        let unknown = i128::from(whole) - parts;
        (unknown != 0).then_some(Difference { line: self, whole, unknown })
    }
}

/// A sum that does not close: an incident by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// Which sum.
    pub line: Line,
    /// The left side.
    pub whole: u64,
    /// How many of the whole nobody can name; below 0, how many are named that were never there.
    pub unknown: i128,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, whole, unknown } = self;
        let (count, what) = (unknown.unsigned_abs(), if *unknown > 0 { "unknown" } else { "too many" });
        write!(f, "{}: of {whole}, {count} are {what}", line.formula())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_its_sum_and_how_many_are_unknown_or_too_many() {
        assert_eq!(Line::Shipped.difference(10, &[4, 5, 1]), None);
        let unknown = Line::Shipped.difference(10, &[4, 5, 0]).expect("one is unknown");
        assert_eq!(unknown.to_string(), "shipped = arrived + in transit + lost: of 10, 1 are unknown");
        let too_many = Line::Inserted.difference(10, &[4, 9]).expect("three were never there");
        assert_eq!(too_many.to_string(), "inserted = posted + held: of 10, 3 are too many");
    }

    #[test]
    fn no_figure_overflows() {
        let most = u64::MAX;
        let difference = Line::Posted.difference(0, &[most; 4]).expect("it is open");
        assert_eq!(difference.unknown, -4 * i128::from(most));
        assert_eq!(Line::Posted.difference(most, &[]).map(|open| open.unknown), Some(i128::from(most)));
    }
}
