//! Names are kept exactly as received; what many systems cannot print is flagged and never replaced.

/// Returns what is special about a name: `supplementary` for characters beyond the basic plane (𠮷),
/// `variation-sequence` for ideographic variation sequences and standardised variants, `private-use` for
/// characters that only their own municipality knows (外字).
#[must_use]
pub fn name_flags(name: &str) -> Vec<&'static str> {
    let private = |c: char| matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}');
    let variation = |c: char| matches!(c, '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}');
    let supplementary = |c: char| c > '\u{FFFF}' && !private(c) && !variation(c);
    let mut flags = Vec::new();
    if name.chars().any(supplementary) {
        flags.push("supplementary");
    }
    if name.chars().any(variation) {
        flags.push("variation-sequence");
    }
    if name.chars().any(private) {
        flags.push("private-use");
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_is_flagged_and_nothing_else() {
        assert_eq!(name_flags("葛飾 花子"), Vec::<&str>::new());
        assert_eq!(name_flags("𠮷田"), ["supplementary"]);
        assert_eq!(name_flags("斉\u{e0103}藤"), ["variation-sequence"]);
        assert_eq!(name_flags("\u{e000}"), ["private-use"]);
        assert_eq!(name_flags("𠮷\u{e0100}\u{f8ff}"), ["supplementary", "variation-sequence", "private-use"]);
    }
}
