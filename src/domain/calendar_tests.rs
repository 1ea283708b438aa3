//! Promise: every due moment of the calendar is met by a batch of its own, or named.

use proptest::prelude::*;

use super::*;

fn code(text: &str) -> MunicipalityCode {
    text.parse().expect("a municipality")
}

fn dues(at: &[i64]) -> Vec<Due> {
    at.iter().map(|at_ms| Due { at_ms: *at_ms, note: String::new() }).collect()
}

const DAY: i64 = 86_400_000;

#[test]
fn days_and_moments_are_those_of_japan_unless_they_say_otherwise() {
    let text = "municipality,due,note\n131229,2026-11-25T18:00,second, with a comma\n131229,2026-11-24\n\n\
                011002,2026-11-25T09:00:30Z\n011002,2026-11-25T18:00:00+09:00\n";
    let calendar = Calendar::parse(text).expect("it is right");
    let at: Vec<String> = calendar.of(code("131229")).iter().map(|due| utc(due.at_ms)).collect();
    assert_eq!(at, ["2026-11-24T15:00:00.000Z", "2026-11-25T09:00:00.000Z"], "sorted, in UTC");
    assert_eq!(calendar.of(code("131229"))[1].note, "second, with a comma");
    let other: Vec<String> = calendar.of(code("011002")).iter().map(|due| utc(due.at_ms)).collect();
    assert_eq!(other, ["2026-11-25T09:00:00.000Z", "2026-11-25T09:00:30.000Z"]);
    assert_eq!(calendar.all().count(), 2);
    assert_eq!(calendar.of(code("131211")), []);
    assert_eq!(Calendar::parse("municipality,due\n"), Ok(Calendar::default()));
}

#[test]
fn what_is_wrong_is_said_with_line_field_and_remedy() {
    let cases = [
        ("", "line 1, header: the first line is not the header. Write municipality,due"),
        ("131229,2026-11-25\n", "line 1, header: "),
        ("municipality,due\n131228,2026-11-25\n", "line 2, municipality: '131228' is no municipality code"),
        ("municipality,due\n131229\n", "line 2, due: is neither a day nor a moment. Write 2026-11-25"),
        ("municipality,due\n\n131229,2026-02-30\n", "line 3, due: "),
        ("municipality,due\n131229,2026-11-25T24:00\n", "line 2, due: "),
        ("municipality,due\n131229,2026-11-25T10:00:00:00\n", "line 2, due: "),
        ("municipality,due\n131229,2026-11-25\n131229,2026-11-26T00:00\n", "line 3, due: 131229 has "),
        ("municipality,due\n131229,2026-11-25,\u{7}\n", "line 2, note: "),
    ];
    for (text, words) in cases {
        let fault = Calendar::parse(text).expect_err(text).to_string();
        assert!(fault.starts_with(words), "{text}: {fault}");
    }
}

#[test]
fn each_due_moment_needs_a_batch_of_its_own() {
    let three = dues(&[10 * DAY, 11 * DAY, 12 * DAY]);
    let left = |opened: &[i64]| unmet(&three, opened).iter().map(|due| due.at_ms / DAY).collect::<Vec<_>>();
    assert_eq!(left(&[]), [10, 11, 12]);
    assert_eq!(left(&[9 * DAY]), [10, 11, 12], "a day before the first is too early");
    assert_eq!(left(&[9 * DAY + 1]), [11, 12]);
    assert_eq!(left(&[9 * DAY + 1, 9 * DAY + 2]), [11, 12], "two on one day are no batch of the next");
    assert_eq!(left(&[10 * DAY + 1]), [11, 12], "late, and it counts");
    assert_eq!(left(&[10 * DAY + 2, 10 * DAY + 1]), [12], "the late one, and the next in time");
    assert_eq!(left(&[13 * DAY, 13 * DAY, 13 * DAY, 13 * DAY]), [0; 0], "all three late");
    assert_eq!(unmet(&[], &[1]), []);
}

proptest! {
    #[test]
    fn one_more_batch_never_leaves_more_unmet(
        at in prop::collection::btree_set(0..1000i64, 0..20),
        mut opened in prop::collection::vec(-100_000_000..1000i64, 0..20),
        more in -100_000_000..1000i64,
    ) {
        let dues = dues(&at.into_iter().collect::<Vec<_>>());
        let before = unmet(&dues, &opened).len();
        prop_assert!(before + opened.len() >= dues.len());
        opened.push(more);
        prop_assert!(unmet(&dues, &opened).len() <= before);
    }

    #[test]
    fn no_text_makes_it_panic(text: String, cell: String) {
        let _ = Calendar::parse(&text);
        let _ = Calendar::parse(&format!("municipality,due\n131229,{cell}"));
        let _ = Calendar::parse(&format!("municipality,due\n131229,2026-11-25{cell}"));
    }
}
