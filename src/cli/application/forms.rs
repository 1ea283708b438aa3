//! `todoke application form | submit`: the ID for a person's form, and the application that was made with it.

use std::io::{self, Read};

use clap::Args;
use serde_json::json;

use super::photo::PhotoArgs;
use crate::{
    cli::{
        giving::Giving,
        lives::change::give,
        municipal::{Output, say, say_result},
    },
    client::error::Error,
    domain::{item::ItemId, municipality::MunicipalityCode},
    runtime::{blocking, exit},
};

/// Bytes of standard input that are read at the most: 23 digits, a day, and whatever stands around them.
const INPUT_BYTES_MAX: u64 = 256;

/// Whose form it is.
#[derive(Debug, Clone, Args)]
pub(super) struct FormArgs {
    /// The order of the person, in an accepted batch
    #[arg(value_name = "ORDER_ID")]
    order_id: ItemId,
    /// Whose order it is; a municipality issues its own and leaves it out
    #[arg(long, value_name = "CODE")]
    municipality: Option<MunicipalityCode>,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// What came back.
#[derive(Debug, Clone, Args)]
pub(super) struct SubmitArgs {
    /// The session in which it was made; without it, it was made on paper
    #[arg(long, value_name = "UUID")]
    session: Option<uuid::Uuid>,
    #[command(flatten)]
    photo: PhotoArgs,
    #[command(flatten)]
    pub(super) giving: Giving,
}

pub(super) async fn form(args: &FormArgs) -> Result<u8, Error> {
    let given = give!(
        args.giving,
        applications.issue_form,
        "IssueForm",
        IssueFormRequest {
            municipality_code: args.municipality.as_ref().map(ToString::to_string).unwrap_or_default(),
            order_id: args.order_id.to_string(),
        }
    );
    let (stamp, issued) = given?;
    let application_id = issued.application_id;
    if args.giving.output() == Output::Json {
        let value = json!({"order_id": args.order_id.to_string(), "application_id": application_id});
        return Ok(say_result(exit::DONE, stamp.on(value)));
    }
    say(&application_id);
    Ok(exit::DONE)
}

pub(super) async fn submit(args: &SubmitArgs) -> Result<u8, Error> {
    let (application_id, birth_date) = blocking(|| pair(io::stdin().lock())).await?;
    give!(
        args.giving,
        applications.submit_application.application,
        "SubmitApplication",
        SubmitApplicationRequest {
            application_id: application_id,
            birth_date: birth_date,
            session_id: args.session.as_ref().map(ToString::to_string).unwrap_or_default(),
            photo: Some(args.photo.photo()),
        }
    )
}

/// Reads an application ID and a birth date, with any spaces and lines between them. What else may be there
/// is never repeated.
fn pair(input: impl Read) -> Result<(String, String), Error> {
    let mut text = String::new();
    let read = input.take(INPUT_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Error::Usage(format!("standard input cannot be read: {error}")))?;
    let mut words = text.split_whitespace().map(str::to_owned);
    match (words.next(), words.next(), words.next()) {
        (Some(id), Some(date), None) => Ok((id, date)),
        _ => {
            let words = "standard input must hold the application ID and the birth date as YYYY-MM-DD, and \
                         nothing else";
            Err(Error::Usage(words.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_and_the_date_are_two_words_and_nothing_else_is_taken_or_repeated() {
        for good in ["79444 1980-02-29", "79444\n1980-02-29\n", "  79444\r\n\r\n1980-02-29"] {
            let read = pair(good.as_bytes()).expect(good);
            assert_eq!(read, ("79444".to_owned(), "1980-02-29".to_owned()));
        }
        for bad in ["", "79444", "79444 1980-02-29 葛飾", &"9".repeat(1000)] {
            let said = pair(bad.as_bytes()).expect_err(bad).to_string();
            assert!(said.contains("YYYY-MM-DD") && !said.contains("葛飾") && !said.contains('9'), "{said}");
        }
    }
}
