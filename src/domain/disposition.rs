//! What became of a record: every record of a batch has one line, and a reject is named, never only counted.

use std::{fmt, str::FromStr};

use super::{batch_id::BatchId, digest::Digest, merkle};

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DispositionKind {
    /// It is an order now.
    Accepted,
    /// It is none, for a reason that its sender can mend.
    Rejected,
    /// The same order was there already.
    Duplicate,
    /// It is kept apart until a human has looked.
    Quarantined,
}

/// The word is no disposition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a disposition is ACCEPTED, REJECTED, DUPLICATE or QUARANTINED")]
pub struct BadDisposition;

impl DispositionKind {
    /// Every disposition.
    pub const ALL: [DispositionKind; 4] = [
        DispositionKind::Accepted,
        DispositionKind::Rejected,
        DispositionKind::Duplicate,
        DispositionKind::Quarantined,
    ];

    /// The word that stands in lists.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DispositionKind::Accepted => "ACCEPTED",
            DispositionKind::Rejected => "REJECTED",
            DispositionKind::Duplicate => "DUPLICATE",
            DispositionKind::Quarantined => "QUARANTINED",
        }
    }
}

impl fmt::Display for DispositionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DispositionKind {
    type Err = BadDisposition;

    fn from_str(text: &str) -> Result<Self, BadDisposition> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(BadDisposition)
    }
}

/// One line of the list of dispositions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposition {
    /// The record's index in the batch, from 0.
    pub index: u64,
    /// The municipality's own key.
    pub order_id: String,
    /// What became of it.
    pub kind: DispositionKind,
    /// Why, as a stable code.
    pub code: Option<String>,
    /// In which field.
    pub field: Option<String>,
    /// The batch and index of the record that it is a duplicate of.
    pub duplicate_of: Option<(BatchId, u64)>,
}

impl Disposition {
    /// Returns the leaf that stands for this line in the receipt's reject list: the hash of its text, in
    /// which TAB separates index, order id, disposition, code, field, batch and index of the first, with `-`
    /// for what is not there. No part can hold a TAB, so two lines never have one text.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        let (batch, index) = self.duplicate_of.map_or(("-".to_owned(), "-".to_owned()), |(batch, index)| {
            (batch.to_string(), index.to_string())
        });
        let (code, field) = (self.code.as_deref().unwrap_or("-"), self.field.as_deref().unwrap_or("-"));
        let text =
            format!("{}\t{}\t{}\t{code}\t{field}\t{batch}\t{index}", self.index, self.order_id, self.kind);
        merkle::leaf_hash(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_line_is_in_its_leaf() {
        let line = Disposition {
            index: 7,
            order_id: "K-7".to_owned(),
            kind: DispositionKind::Rejected,
            code: Some("SEX_INVALID".to_owned()),
            field: Some("sex".to_owned()),
            duplicate_of: None,
        };
        assert_eq!(line.leaf(), merkle::leaf_hash(b"7\tK-7\tREJECTED\tSEX_INVALID\tsex\t-\t-"));
        let id: BatchId = "0192f0c1-2345-7abc-8def-0123456789ab".parse().expect("version 7");
        let others = [
            Disposition { index: 8, ..line.clone() },
            Disposition { order_id: "K-8".to_owned(), ..line.clone() },
            Disposition { kind: DispositionKind::Quarantined, ..line.clone() },
            Disposition { code: None, ..line.clone() },
            Disposition { field: Some("name".to_owned()), ..line.clone() },
            Disposition { duplicate_of: Some((id, 0)), ..line.clone() },
            Disposition { duplicate_of: Some((id, 1)), ..line.clone() },
        ];
        let mut leaves: Vec<Digest> = others.iter().map(Disposition::leaf).collect();
        leaves.push(line.leaf());
        leaves.sort_unstable();
        leaves.dedup();
        assert_eq!(leaves.len(), 8);
    }

    #[test]
    fn every_word_is_read_back() {
        for kind in DispositionKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("STORED".parse::<DispositionKind>(), Err(BadDisposition));
    }
}
