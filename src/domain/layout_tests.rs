//! Promise: a layout that leaves a place of the line open, or gives it twice, is refused with its place and
//! its remedy, and a good one survives its text.

use super::*;

const GOOD: &str = "field,start_bytes,length_bytes,align\norder_id,1,12,\n-,13,8,\nkind,21,22,left\n\
                    household_id,43,8,right\ndistrict,51,40,\nname,91,40,\nbirth_date,131,10,\nsex,141,1,\n\
                    address,142,80,\n";

#[test]
fn a_layout_survives_its_text() {
    let layout = Layout::parse(GOOD).expect("a good layout");
    assert_eq!((layout.length(), layout.measure()), (221, Measure::Bytes));
    assert_eq!(layout.column_of(Field::HouseholdId).map(|column| column.align), Some(Align::Right));
    assert_eq!(layout.column_of(Field::Reading), None);
    assert_eq!(Layout::parse(&layout.to_string()), Ok(layout.clone()));
    let windows =
        format!("\u{feff}{}", GOOD.replace(",align", "").replace(",\n", "\n").replace('\n', "\r\n"));
    let windows = windows.replace(",left", "").replace(",right", "");
    assert_eq!(Layout::parse(&windows).map(|layout| layout.length()), Ok(221));
    let characters = GOOD.replace("_bytes", "_characters");
    assert_eq!(Layout::parse(&characters).map(|layout| layout.measure()), Ok(Measure::Characters));
}

#[test]
fn each_bad_layout_is_refused_with_place_and_remedy() {
    let long: String = (0..65).map(|n| format!("-,{},1,\n", n + 1)).collect();
    let long = format!("field,start_bytes,length_bytes,align\n{long}");
    let cases: [(&str, String, &str); 13] = [
        ("empty", String::new(), "line 1, column 0: is no header of a layout. It must be field,start_bytes"),
        ("other", GOOD.replace("start_bytes", "start"), "is no header"),
        ("mixed", GOOD.replace("start_bytes", "start_characters"), "is no header"),
        (
            "unknown",
            GOOD.replace("sex", "gender"),
            "line 9, column 1: the field \"gender\" is unknown. Write -",
        ),
        ("twice", GOOD.replace("-,13", "name,13"), "line 7, column 1: name stands there twice"),
        (
            "hole",
            GOOD.replace("-,13,8,\n", ""),
            "line 3, column 2: starts at 21, but the column before ends at 12. Leave no place out",
        ),
        (
            "overlap",
            GOOD.replace("name,91", "name,90"),
            "line 7, column 2: starts at 90, but the column before ends at 90. No two columns share a place",
        ),
        ("zero", GOOD.replace("order_id,1,12", "order_id,1,0"), "line 2, column 3: is no number"),
        (
            "cells",
            GOOD.replace("sex,141,1,", "sex,141"),
            "line 9, column 0: the line has 2 cells, the header 4",
        ),
        ("align", GOOD.replace("right", "centre"), "line 5, column 4: is neither left nor right"),
        ("missing", GOOD.replace("address", "-"), "line 10, column 0: the layout ends without address"),
        ("field", GOOD.replace("142,80", "142,4097"), "line 10, column 3: is longer than 4096"),
        ("columns", long, "line 66, column 0: is one column too many"),
    ];
    for (name, text, needle) in cases {
        let fault = Layout::parse(&text).expect_err(name).to_string();
        assert!(fault.contains(needle), "{name}: {fault:?} lacks {needle:?}");
    }
    let line = GOOD.replace("142,80,", "142,4096,") + "-,4238,16000,\n";
    assert!(Layout::parse(&line).expect_err("too long").to_string().contains("ends behind 16384"));
    assert!(Layout::parse(&"x".repeat(20_000)).expect_err("too long").to_string().contains("16 KiB"));
}

#[test]
fn padding_of_both_widths_is_taken_off_on_one_side_only() {
    let column = |align| Column { field: None, begin: 0, length: 9, align };
    assert_eq!(column(Align::Left).without_padding(" 葛飾　花子 　 "), " 葛飾　花子");
    assert_eq!(column(Align::Right).without_padding("　 12 "), "12 ");
    assert_eq!(column(Align::Left).without_padding("　　"), "");
}
