//! What a database is opened for says what may be done to it: one table, in which every way to open it
//! stands.

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Purpose {
    /// An issuer's work.
    Issue,
    /// Its owner changes the schema, who has rights that the issuer may lack.
    Migrate,
    /// An operator's command that no issuer may come across.
    Mend,
    /// A copy fills it.
    Fill,
    /// It is compared while it stands still.
    Compare,
    /// An operator's command beside issuers.
    Decide,
    /// Somebody looks.
    Look,
}

/// What may be done to a database, or has to be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// An empty one becomes ours.
    Make,
    /// The schema is brought up to date.
    Migrate,
    /// Rows are written.
    Write,
    /// No issuer is connected.
    Alone,
}

impl Purpose {
    fn rights(self) -> &'static [Right] {
        match self {
            Purpose::Issue | Purpose::Migrate => &[Right::Make, Right::Migrate, Right::Write],
            Purpose::Mend => &[Right::Migrate, Right::Write, Right::Alone],
            Purpose::Fill => &[Right::Make, Right::Migrate, Right::Write, Right::Alone],
            Purpose::Compare => &[Right::Alone],
            Purpose::Decide => &[Right::Write],
            Purpose::Look => &[],
        }
    }

    /// Whether it has this right.
    pub(super) fn has(self, right: Right) -> bool {
        self.rights().contains(&right)
    }

    /// How the sessions are called that the server lists.
    pub(super) fn session(self) -> &'static str {
        match self {
            Purpose::Issue => "todoke issuer",
            Purpose::Migrate
            | Purpose::Mend
            | Purpose::Fill
            | Purpose::Compare
            | Purpose::Decide
            | Purpose::Look => "todoke",
        }
    }
}
