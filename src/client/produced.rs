//! A producer's list of what came out of its orders is read whole before any of it is sent, and each line
//! that is wrong is named with its number.

use std::{collections::HashMap, path::Path};

use super::{
    input_fault::InputFault,
    reader::{ReadOptions, Table},
};
use crate::{
    domain::item::ItemId,
    wire::pb::{self, produced_card::Result as Came},
};

const COLUMNS: [&str; 5] = ["card_id", "result", "chip_key", "self_test", "unmet"];
/// The columns that every list has.
const REQUIRED: [&str; 2] = ["card_id", "result"];
/// Lines of a list at the most.
const LINES_MAX: usize = 100_000;
/// Wrong lines that are named at the most.
const NAMED_MAX: usize = 20;
/// Hex digits of a chip's public key.
const KEY_DIGITS: usize = 130;

/// What came out of one order.
#[derive(Debug, Clone, PartialEq)]
pub struct Produced {
    /// Its line in the list.
    pub line: u64,
    /// What is sent.
    pub card: pb::ProducedCard,
}

/// Reads a list with the columns `card_id,result,chip_key,self_test,unmet`.
///
/// # Errors
/// Each wrong line, but not more than 20; nothing of the list is of use then.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Vec<Produced>, Vec<InputFault>> {
    let mut table = Table::open(path, options, &COLUMNS, &REQUIRED).map_err(|fault| vec![fault])?;
    let (mut cards, mut wrong, mut lines) = (Vec::new(), Vec::new(), HashMap::new());
    loop {
        match table.next_row() {
            Ok(true) => {}
            Ok(false) => break,
            // Where rows begin is not known any more.
            Err(fault) => {
                wrong.push(fault);
                break;
            }
        }
        match card(&table, &mut lines) {
            Ok(card) => cards.push(Produced { line: table.line(), card }),
            Err(fault) => wrong.push(fault),
        }
        if cards.len() > LINES_MAX {
            let what = format!("has more than {LINES_MAX} lines");
            wrong.push(InputFault::of_file(path, what, "Report shift by shift"));
        }
        if wrong.len() >= NAMED_MAX || cards.len() > LINES_MAX {
            break;
        }
    }
    if wrong.is_empty() && cards.is_empty() {
        wrong.push(InputFault::of_file(path, "names no card", "Write one line for each card"));
    }
    if wrong.is_empty() { Ok(cards) } else { Err(wrong) }
}

/// Reads one line. What a cell holds is never repeated: a wrong file may hold anything.
fn card(table: &Table, lines: &mut HashMap<ItemId, u64>) -> Result<pb::ProducedCard, InputFault> {
    let id: ItemId = table.cell("card_id").parse().map_err(|_| {
        let remedy = "Write the card's id as it was pulled: 1 to 64 visible ASCII characters";
        table.fault_in("card_id", "is no id of a card", remedy)
    })?;
    if let Some(before) = lines.insert(id.clone(), table.line()) {
        let what = format!("is the same as in line {before}");
        return Err(table.fault_in("card_id", what, "Name each card once"));
    }
    let self_test = table.cell("self_test");
    let result = match table.cell("result") {
        "OK" => Came::Ok(good(table, self_test)?),
        "NOK" if self_test.is_empty() => {
            return Err(table.fault_in("self_test", "is empty", "Say there what is wrong with a NOK card"));
        }
        "NOK" => Came::Nok(self_test.to_owned()),
        _ => return Err(table.fault_in("result", "is neither OK nor NOK", "Write one of the two")),
    };
    Ok(pb::ProducedCard { card_id: id.to_string(), result: Some(result) })
}

fn good(table: &Table, self_test: &str) -> Result<pb::GoodCard, InputFault> {
    if self_test.is_empty() {
        let remedy = "Write the chip's own result: PASS, or what failed";
        return Err(table.fault_in("self_test", "is empty", remedy));
    }
    let key = table.cell("chip_key");
    let chip_key = hex::decode(key).ok().filter(|_| key.len() == KEY_DIGITS && key.starts_with("04"));
    let chip_key = chip_key.ok_or_else(|| {
        let remedy =
            "Write the chip's public key, uncompressed: 130 hex digits, of which the first two are 04";
        table.fault_in("chip_key", "is no key of a chip", remedy)
    })?;
    let unmet = table.cell("unmet").split(';').filter(|one| !one.is_empty());
    let unmet_accommodations = unmet.map(str::to_owned).collect();
    Ok(pb::GoodCard { chip_key, self_test: self_test.to_owned(), unmet_accommodations })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Produced>, Vec<String>> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("shift.csv");
        std::fs::write(&path, text).expect("it is writable");
        let wrong = |faults: Vec<InputFault>| {
            let name = format!("{}/", folder.path().display());
            faults.iter().map(|fault| fault.to_string().replace(&name, "")).collect()
        };
        read(&path, &ReadOptions::default()).map_err(wrong)
    }

    fn key() -> String {
        format!("04{}", "ab".repeat(64))
    }

    #[test]
    fn a_list_is_read_with_its_lines() {
        let text = format!(
            "card_id,result,chip_key,self_test,unmet\nK-1,OK,{},PASS,BRAILLE;READ_ALOUD\nK-2,NOK,,smeared,\n",
            key()
        );
        let cards = read_text(&text).expect("it is right");
        let Some(Came::Ok(good)) = &cards[0].card.result else { panic!("{cards:?}") };
        assert_eq!((good.chip_key.len(), good.unmet_accommodations.len()), (65, 2));
        assert_eq!((cards[1].line, &cards[1].card.result), (3, &Some(Came::Nok("smeared".to_owned()))));
        let short =
            read_text("result,self_test,card_id\nNOK,smeared,K-1\n").expect("columns may be left out");
        assert_eq!(short.len(), 1);
    }

    #[test]
    fn every_wrong_line_is_named_and_nothing_of_it_is_repeated() {
        let text = format!(
            "card_id,result,chip_key,self_test,unmet\nK-1,OK,{0},PASS,\n葛 飾,OK,{0},PASS,\nK-1,NOK,,smeared,\n\
             K-2,GOOD,{0},PASS,\nK-3,OK,04ab,PASS,\nK-4,OK,{0},,\nK-5,NOK,,,\n",
            key()
        );
        let wrong = read_text(&text).expect_err("six lines are wrong");
        let lines: Vec<&str> = wrong.iter().map(|one| one.split(':').next().expect("where")).collect();
        assert_eq!(
            lines,
            [
                "shift.csv, line 3, column 1 (card_id)",
                "shift.csv, line 4, column 1 (card_id)",
                "shift.csv, line 5, column 2 (result)",
                "shift.csv, line 6, column 3 (chip_key)",
                "shift.csv, line 7, column 4 (self_test)",
                "shift.csv, line 8, column 4 (self_test)",
            ]
        );
        assert!(wrong[1].contains("line 2") && !wrong.concat().contains("葛"), "{wrong:?}");
        let none = read_text("card_id,result\n").expect_err("no line");
        assert!(none[0].contains("names no card"), "{none:?}");
        let cut = read_text("card_id,result,self_test\nK-1,NOK,sme").expect_err("it was cut");
        assert!(cut[0].contains("line 2"), "{cut:?}");
        let many: String = (0..30).map(|n| format!("K {n},OK,,\n")).collect();
        let many =
            read_text(&format!("card_id,result,chip_key,self_test\n{many}")).expect_err("all are wrong");
        assert_eq!(many.len(), NAMED_MAX);
    }
}
