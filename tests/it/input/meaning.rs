//! Promise: a record that is wrong in what it says is named by line, column, field, code and remedy, and
//! under ALL_OR_NOTHING nothing of its batch is ordered; characters that few systems know are kept and
//! flagged.

use std::process::Stdio;

use super::{HEADER, Town, assert_says, good, row};

/// A file whose rows are changed one by one, from line 2 on.
fn with(rows: &[(&str, &str, &str)]) -> String {
    let rows: String = rows.iter().map(|(order_id, from, to)| row(order_id).replace(from, to)).collect();
    format!("{HEADER}{rows}")
}

async fn card(town: &Town, order_id: &str) -> super::Said {
    town.run(&["card", "get", "--order-id", order_id, "--purpose", "inquiry"]).await
}

#[tokio::test]
async fn each_record_that_is_wrong_is_named_with_line_column_field_and_remedy() {
    let town = Town::start().await;
    let faulty = with(&[
        ("A-1", "", ""),
        ("A-2", "白鳥一丁目,", "白鳥一丁目,123456789017"),
        ("A-3", "1980-01-02", "1981-02-29"),
        ("A-4", "NOTIFICATION_CARD", "OTHER_CARD"),
        ("A-5", ",2,", ",女,"),
        ("A-6", "白鳥一丁目,", "白鳥一丁目,1234"),
        ("A-7", "1980-01-02", "2999-01-01"),
        ("A-8", "葛飾 花子", "　"),
    ]);
    let says = [
        "line 3, column 9 (individual_number): order A-2: REJECTED INDIVIDUAL_NUMBER_CHECK_DIGIT: its \
         check digit does not fit the other digits. Compare the number",
        "line 4, column 6 (birth_date): order A-3: REJECTED BIRTH_DATE_INVALID: no date of the calendar",
        "line 5, column 2 (kind): order A-4: REJECTED KIND_UNKNOWN",
        "line 6, column 7 (sex): order A-5: REJECTED SEX_INVALID: no such sex. Write 0, 1, 2 or 9",
        "line 7, column 9 (individual_number): order A-6: REJECTED INDIVIDUAL_NUMBER_FORMAT",
        "line 8, column 6 (birth_date): order A-7: REJECTED BIRTH_DATE_IN_FUTURE",
        "line 9, column 5 (name): order A-8: REJECTED FIELD_MISSING",
    ];
    town.write("strict.csv", &faulty);
    let said = town.run(&["import", "strict.csv"]).await;
    assert_says("all or nothing", &said, 1, &says);
    assert_says("all or nothing", &said, 1, &["DISCREPANT", "todoke abort --batch"]);
    assert!(!town.path("strict.csv.receipt").exists());
    assert_eq!(card(&town, "A-1").await.code, Some(1), "nothing of the batch is ordered");
    let batch = town.batches().await[0]["batch_id"].as_str().expect("an id").to_owned();
    let said = town.run(&["abort", "--batch", &batch, "--reason", "faulty extract"]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    town.write("strict.csv", good("A"));
    town.receipted(&["import", "strict.csv"]).await;

    town.write("six.csv", faulty.replace("A-", "S-"));
    let said = town.run(&["import", "six.csv", "--policy", "accept-valid:6"]).await;
    assert_says("one more than the policy allows", &said, 1, &["DISCREPANT", "7 rejected, 6 allowed"]);
    town.write("lenient.csv", faulty.replace("A-", "L-"));
    let said = town.receipted(&["import", "lenient.csv", "--policy", "accept-valid:7"]).await;
    assert_says(
        "accept valid",
        &said,
        0,
        &says.map(|line| line.replace("A-", "L-")).each_ref().map(String::as_str),
    );
    assert_says("accept valid", &said, 0, &["8 records: 1 accepted, 7 rejected"]);
    assert_eq!((card(&town, "L-1").await.code, card(&town, "L-2").await.code), (Some(0), Some(1)));
    town.stop().await;
}

#[tokio::test]
async fn all_that_was_not_accepted_is_listed_as_csv_for_whoever_mends_it() {
    let town = Town::start().await;
    town.write("first.csv", good("R"));
    town.receipted(&["import", "first.csv"]).await;
    town.write("second.csv", with(&[("S-1", "", ""), ("R-2", "", ""), ("S-3", ",2,", ",女,")]));
    town.receipted(&["import", "second.csv", "--policy", "accept-valid:1"]).await;
    let first = town.batches().await[1]["batch_id"].as_str().expect("an id").to_owned();
    let expected = format!(
        "index,order_id,disposition,code,field,duplicate_of\n1,R-2,DUPLICATE,,,{first}:1\n\
         2,S-3,REJECTED,SEX_INVALID,sex,\n"
    );
    let said = town.run(&["rejects", "second.csv"]).await;
    assert_eq!((said.code, &said.stdout), (Some(0), &expected), "{}", said.stderr);
    assert!(said.stderr.contains("2 records not accepted"), "{}", said.stderr);
    let said = town.run(&["rejects", "second.csv", "--out", "rejects.csv"]).await;
    assert_says("into a file", &said, 0, &["2 records not accepted in rejects.csv"]);
    let written = std::fs::read_to_string(town.path("rejects.csv")).expect("it is there");
    assert_eq!((said.stdout.as_str(), written), ("", expected));
    let said = town.run(&["rejects", "second.csv", "--output", "json"]).await;
    let lines: Vec<serde_json::Value> =
        said.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), said.stderr.as_str()), (3, ""), "{}", said.all());
    assert_eq!((&lines[0]["event"], &lines[0]["order_id"]), (&"record".into(), &"R-2".into()));
    assert_eq!((&lines[2]["event"], &lines[2]["records"]), (&"result".into(), &2.into()));
    let said = town.run(&["rejects", "first.csv"]).await;
    assert_eq!(said.stdout.lines().count(), 1, "the header only: {}", said.all());
    let said = town.run(&["rejects", "second.csv", "--out", "none/rejects.csv"]).await;
    assert_says("no folder", &said, 1, &["none/rejects.csv", "Make its folder"]);
    let mut unread = town.folder.command(&["rejects", "second.csv"]);
    unread.args(town.folder.as_ward()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut unread = unread.spawn().expect("it runs");
    drop(unread.stdout.take());
    let unread = unread.wait_with_output().await.expect("it ends");
    let errors = String::from_utf8_lossy(&unread.stderr);
    assert_eq!((unread.status.code(), errors.as_ref()), (Some(0), ""), "a reader that has gone is no error");
    town.stop().await;
}

#[tokio::test]
async fn a_promise_that_is_too_far_off_names_its_flag() {
    let town = Town::start().await;
    town.write("late.csv", with(&[("P-1", "", "")]));
    let said = town.run(&["import", "late.csv", "--seal-by", "40d"]).await;
    let says = ["more than 31 days away", "Next: Run `todoke import` with another --seal-by"];
    assert_says("too far", &said, 1, &says);
    town.receipted(&["import", "late.csv", "--seal-by", "31d"]).await;
    town.stop().await;
}

#[tokio::test]
async fn a_policy_that_comes_too_late_is_said_to_be_without_effect() {
    let town = Town::start().await;
    town.write("p.csv", with(&[("P-1", "", ""), ("P-2", ",2,", ",女,")]));
    let said = town.run(&["import", "p.csv"]).await;
    assert_says("announced", &said, 1, &["DISCREPANT", "P-2: REJECTED SEX_INVALID"]);
    assert!(!said.all().contains("--policy of this run"), "nothing else was told: {}", said.all());
    let said = town.run(&["import", "p.csv", "--policy", "accept-valid:1"]).await;
    let words = "The --policy of this run does not apply, as the batch was announced with all-or-nothing";
    assert_says("too late", &said, 1, &[words, "todoke abort --batch"]);
    assert!(!town.path("p.csv.receipt").exists());
    town.stop().await;
}

#[tokio::test]
async fn an_order_id_that_comes_twice_is_ordered_once_and_never_with_other_content() {
    let town = Town::start().await;
    // Within one batch, the same content and another.
    town.write("twice.csv", format!("{}{}", good("T"), row("T-2")));
    let said = town.receipted(&["import", "twice.csv"]).await;
    assert_says("same content", &said, 0, &["4 records: 3 accepted, 0 rejected, 1 there already"]);
    assert_says("same content", &said, 0, &["line 5: order T-2: DUPLICATE: the same order is there already"]);
    town.write("other.csv", format!("{}{}", good("U"), row("U-2").replace("花子", "太郎")));
    let said = town.run(&["import", "other.csv"]).await;
    let words = "order U-2: REJECTED ORDER_ID_REUSED: the order_id stands for another order already. Give";
    assert_says("other content", &said, 1, &["DISCREPANT", "line 5, column 1 (order_id)", words]);
    // A third batch while that one holds its ids.
    town.write("held.csv", format!("{}{}", good("V"), row("U-1")));
    let said = town.run(&["import", "held.csv"]).await;
    assert_says(
        "held",
        &said,
        1,
        &["order U-1: REJECTED ORDER_ID_HELD", "Bring that batch to its end first"],
    );
    // Across batches, when the first is accepted.
    town.write("again.csv", format!("{}{}", good("W"), row("T-1")));
    let said = town.receipted(&["import", "again.csv"]).await;
    assert_says(
        "same content, other batch",
        &said,
        0,
        &["3 accepted, 0 rejected, 1 there already", "order T-1"],
    );
    town.write("changed.csv", format!("{}{}", good("X"), row("T-1").replace("花子", "太郎")));
    let said = town.run(&["import", "changed.csv"]).await;
    assert_says("other content, other batch", &said, 1, &["order T-1: REJECTED ORDER_ID_REUSED"]);
    let shown = card(&town, "T-1").await;
    assert!(shown.stdout.contains("葛飾 花子"), "the first order stands: {}", shown.all());
    town.stop().await;
}

#[tokio::test]
async fn private_use_and_variation_sequences_are_kept_as_received_and_flagged() {
    let town = Town::start().await;
    let file =
        with(&[("G-1", "花子", "斉\u{e0103}藤"), ("G-2", "花子", "𠮷田"), ("G-3", "花子", "\u{e000}子")]);
    town.write("utf8.csv", file);
    town.receipted(&["import", "utf8.csv"]).await;
    // In CP932, F040 is the first of private use.
    let mut bytes = encoding_rs::SHIFT_JIS.encode(&with(&[("G-4", "花子", "★子")])).0.into_owned();
    let star = bytes.windows(2).position(|two| two == [0x81, 0x9A]).expect("the star is there");
    bytes[star..star + 2].copy_from_slice(&[0xF0, 0x40]);
    town.write("cp932.csv", bytes);
    town.receipted(&["import", "cp932.csv", "--encoding", "cp932"]).await;
    for (order_id, name, flag) in [
        ("G-1", "葛飾 斉\u{e0103}藤", "variation-sequence"),
        ("G-2", "葛飾 𠮷田", "supplementary"),
        ("G-3", "葛飾 \u{e000}子", "private-use"),
        ("G-4", "葛飾 \u{e000}子", "private-use"),
    ] {
        let shown = card(&town, order_id).await;
        assert!(shown.stdout.contains(name) && shown.stdout.contains(flag), "{order_id}: {}", shown.all());
    }
    town.stop().await;
}

#[tokio::test]
async fn a_municipality_without_certificate_here_is_told_who_has_one() {
    let town = Town::start().await;
    town.write("a.csv", good("A"));
    let words = |caller: &str| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_todoke"));
        command.args(["import", "a.csv", "--endpoints", "dev/endpoints.json", "--as", caller]);
        command
    };
    let said = town.said(words("municipality/221007")).await;
    assert_says(
        "no certificate",
        &said,
        64,
        &["no certificate for municipality/221007", "municipality/131229"],
    );
    let said = town.said(words("municipality/131220")).await;
    assert_says("no code", &said, 2, &["right check digit"]);
    let said = town.said(words("relay/relay-1")).await;
    assert_says("no municipality", &said, 2, &["only a municipality has batches"]);
    assert!(town.batches().await.is_empty() && !town.path("a.csv.todoke-journal").exists());
    town.stop().await;
}
