//! One word for each state and each command: in the API, in the database and in messages, and no list of them
//! can miss one.

/// The word is none of the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be {0}, in capitals")]
pub struct BadWord(pub &'static str);

/// Makes an enum without fields, its list and its words. The text in the head says in a message what was
/// expected, such as "a state of a card".
macro_rules! words {
    ($(#[$about:meta])* pub enum $name:ident, $expected:literal {
        $($(#[$doc:meta])* $variant:ident = $word:literal,)+
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// Every one, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word of the design, in capitals.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::life::BadWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.iter().copied().find(|one| one.as_str() == text);
                found.ok_or($crate::domain::life::BadWord($expected))
            }
        }
    };
}

/// Makes an enum of commands, which may have fields, and the list of their words.
macro_rules! commands {
    ($(#[$about:meta])* pub enum $name:ident {
        $(
            $(#[$doc:meta])*
            $variant:ident $({ $($(#[$said:meta])* $field:ident: $type:ty,)+ })? = $word:literal,
        )+
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$doc])* $variant $({ $($(#[$said])* $field: $type,)+ })?,)+
        }

        impl $name {
            /// The words of all commands, in the order of the list.
            pub const WORDS: &'static [&'static str] = &[$($word,)+];

            /// The word of the command, in capitals.
            #[must_use]
            pub fn as_str(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $word,)+
                }
            }
        }
    };
}
