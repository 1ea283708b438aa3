//! Promise: an application goes from its form to its approval by commands alone, its ID and the birth date
//! stand in no process list, and whoever says it wrongly hears what to do.

use serde_json::{Value, json};

use super::system::{Imported, Said};

const WARD: &str = "municipality/131229";
const OF_WARD: [&str; 2] = ["--municipality", "131229"];

impl Imported {
    /// The birth date in the order's row of the file.
    fn born(&self, order: &str) -> String {
        let text = String::from_utf8(self.folder.read("cards.csv")).expect("UTF-8");
        let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = rows.next().expect("a header");
        let at = |name: &str| header.iter().position(|one| *one == name).expect("its column");
        let (id, birth) = (at("order_id"), at("birth_date"));
        rows.find(|row| row[id] == order).expect("its row")[birth].to_owned()
    }

    async fn form(&self, order: &str) -> String {
        let issued = self.done(WARD, &["form", order], &[]).await;
        issued["application_id"].as_str().expect("its ID").to_owned()
    }

    /// Takes an application of the person of an order.
    async fn submit(&self, order: &str, photo: &str, more: &[&str]) -> Said {
        let input = format!("{}\n{}\n", self.form(order).await, self.born(order));
        self.piped(WARD, &[&["submit", "--photo", photo, "--output", "json"], more].concat(), &input).await
    }
}

fn number(result: &Value) -> &str {
    result["application_number"].as_str().expect("its number")
}

#[tokio::test]
async fn an_application_goes_from_its_form_to_its_approval_by_commands() {
    let mut world = Imported::start("application").await;
    let order = world.orders[0].clone();
    let id = world.form(&order).await;
    assert_eq!(world.form(&order).await, id, "the same each time");
    let printed = world.piped("producer/press-1", &["form", &order, OF_WARD[0], OF_WARD[1]], "").await;
    assert_eq!(printed.stdout.trim(), id, "{}", printed.all());
    let said =
        world.submit(&order, "P-1", &["--request-id", "s-1", "--at", "2020-11-20T09:30:00+09:00"]).await;
    let received = said.result();
    assert_eq!((said.code, &received["state"]), (Some(0), &json!("RECEIVED")), "{}", said.all());
    assert_eq!(received["receive_time"], "2020-11-20T00:30:00.000Z");
    assert!(!said.all().contains(&id) && !said.all().contains(&world.born(&order)), "{}", said.all());
    let again =
        world.submit(&order, "P-1", &["--request-id", "s-1", "--at", "2020-11-20T09:30:00+09:00"]).await;
    assert_eq!(again.result(), received, "the same request does nothing more");
    let number = number(&received);
    let defective = world.done(WARD, &["review", number, "--defect", "the photograph is dark"], &[]).await;
    assert_eq!(
        (&defective["state"], &defective["defect"]),
        (&json!("DEFECTIVE"), &json!("the photograph is dark"))
    );
    let resubmitted = world.done(WARD, &["resubmit", number, "--photo", "P-2"], &[]).await;
    assert_eq!(
        (&resubmitted["state"], &resubmitted["photo_reference"]),
        (&json!("RESUBMITTED"), &json!("P-2"))
    );
    let card = ["identity", number, "--document", "NOTIFICATION_CARD"];
    world.refused(WARD, (&card, &[]), "IDENTITY_NOT_PROVED").await;
    let checked = world.done(WARD, &["identity", number, "--document", "PASSPORT"], &[]).await;
    assert_eq!(checked["state"], "IDENTITY_CHECKED");
    let approved = world.done(WARD, &["review", number, "--approve"], &[]).await;
    assert_eq!(approved["state"], "APPROVED");
    let listed = world.said(WARD, &["list", "--state", "APPROVED"], &[]).await;
    assert_eq!(listed.result()["applications"], 1, "{}", listed.all());
    let shown = world.piped("auditor/a", &["show", number, "--history", OF_WARD[0], OF_WARD[1]], "").await;
    assert_eq!(shown.code, Some(0), "{}", shown.all());
    for line in [
        "state                APPROVED",
        "documents            PASSPORT",
        "RESUBMIT              municipality/131229",
    ] {
        assert!(shown.stdout.contains(line), "{line}: {}", shown.all());
    }
    let void = world.done(WARD, &["void", number, "--reason", "WITHDRAWN"], &[]).await;
    assert_eq!(void["state"], "VOIDED_WITHDRAWN");
    assert_eq!(world.done(WARD, &["restore", number], &[]).await["state"], "RECEIVED");
    let rejected = world.done(WARD, &["review", number, "--reject", "no such photograph"], &[]).await;
    assert_eq!(rejected["rejected_because"], "no such photograph");
    assert_eq!(world.dev.stop().await, Some(0));
}

#[tokio::test]
async fn a_swap_is_named_and_confirmed_by_command_and_what_is_wrong_is_refused_with_what_to_do() {
    let mut world = Imported::start("application").await;
    let order = world.orders[0].clone();
    // Nobody in the file is over 120 years old.
    let said = world.submit(&order, "P-1", &["--ages", "150-160"]).await;
    let received = said.result();
    assert_eq!(received["suspicions"][0]["kind"], "AGE_OF_PHOTO", "{}", said.all());
    let number = number(&received);
    let other = "0192f0c1-2345-7abc-8def-000000000001";
    let named = format!("SAME_SESSION:{other}");
    let wrong = ["review", number, "--no-swap", &named, "--clerk", "sato"];
    world.refused(WARD, (&wrong, &[]), "look at all of them").await;
    let right = ["review", number, "--no-swap", "AGE_OF_PHOTO", "--clerk", "sato"];
    assert_eq!(world.done(WARD, &right, &[]).await["suspicions"][0]["confirmed"], true);
    let said = world.piped(WARD, &["show", number], "").await;
    assert!(
        said.stdout.contains("suspicion            AGE_OF_PHOTO  confirmed to be none"),
        "{}",
        said.all()
    );
    let second = world.submit(&order, "P-2", &[]).await;
    assert!(second.code == Some(1) && second.all().contains(number), "OTHER_APPLICATION: {}", second.all());
    world.refused("producer/press-1", (&["show", number], &OF_WARD), "WRONG_ROLE").await;
    world.refused("municipality/011002", (&["show", number], &[]), "NOT_FOUND").await;
    world.refused(WARD, (&["form", "K-99"], &[]), "NOT_FOUND").await;
    // What is wrong on standard input is not repeated, nor sent.
    let id = world.form(&order).await;
    for (input, code) in
        [("", 2), (id.as_str(), 2), ("1234 1980-01-01 x", 2), ("12345678901234567890123 1980-01-01", 1)]
    {
        let said = world.piped(WARD, &["submit", "--photo", "P-3"], input).await;
        assert_eq!(said.code, Some(code), "{input}: {}", said.all());
        assert!(!said.all().contains("1980-01-01") && !said.all().contains(&id), "{}", said.all());
    }
    let wrong = world
        .piped(WARD, &["submit", "--photo", "P-3", "--output", "json"], &format!("{id} 1850-01-01"))
        .await;
    let error = wrong.result()["error"].to_string();
    assert!(wrong.code == Some(1) && error.contains("NOT_FOUND"), "{}", wrong.all());
    assert!(!wrong.all().contains(&id) && !wrong.all().contains("1850"), "{}", wrong.all());
    assert_eq!(world.dev.stop().await, Some(0));
}
