//! `todoke application review`: what an office finds. A clerk names each suspicion that he has looked into:
//! none is confirmed unseen.

use clap::{ArgGroup, Args};

use crate::{
    cli::{giving::Giving, lives::change::give},
    client::error::Error,
    domain::{item::ItemId, life::mail::disposal::Clerk},
    wire::pb::{self, review_application_request::Finding},
};

/// What an office finds.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("finding").required(true).args(["defect", "approve", "reject", "no_swap"]))]
pub(super) struct ReviewArgs {
    /// The number of the application
    #[arg(value_name = "NUMBER")]
    number: ItemId,
    /// Something is wrong with it; without personal data
    #[arg(long, value_name = "WHAT")]
    defect: Option<String>,
    /// A card is to be made
    #[arg(long)]
    approve: bool,
    /// It is refused; without personal data
    #[arg(long, value_name = "WHY")]
    reject: Option<String>,
    /// This suspicion is no swap, as `todoke application show` has it; once for each that stands now
    #[arg(long, value_name = "KIND[:NUMBER]", value_parser = suspicion, requires = "clerk")]
    no_swap: Vec<pb::Suspicion>,
    /// Who has compared the papers: the office's own short name, no name of a person
    #[arg(long, value_name = "NAME", requires = "no_swap")]
    clerk: Option<Clerk>,
    #[command(flatten)]
    pub(super) giving: Giving,
}

impl ReviewArgs {
    fn finding(&self) -> Finding {
        if let Some(what) = &self.defect {
            return Finding::Defect(what.clone());
        }
        if let Some(why) = &self.reject {
            return Finding::Reject(why.clone());
        }
        match &self.clerk {
            Some(clerk) => {
                Finding::NoSwap(pb::NoSwap { clerk: clerk.to_string(), suspicions: self.no_swap.clone() })
            }
            None => Finding::Approve(true),
        }
    }
}

pub(super) async fn run(args: &ReviewArgs) -> Result<u8, Error> {
    give!(
        args.giving,
        applications.review_application.application,
        "ReviewApplication",
        ReviewApplicationRequest {
            application_number: args.number.to_string(),
            finding: Some(args.finding())
        }
    )
}

fn suspicion(text: &str) -> Result<pb::Suspicion, String> {
    let (kind, other) = text.split_once(':').unwrap_or((text, ""));
    let fits = match kind {
        "SAME_SESSION" | "WITHIN_AN_HOUR" => other.parse::<uuid::Uuid>().is_ok(),
        "AGE_OF_PHOTO" | "SEX_OF_PHOTO" => !text.contains(':'),
        _ => false,
    };
    if !fits {
        let needed = "must be AGE_OF_PHOTO, SEX_OF_PHOTO, SAME_SESSION:NUMBER or WITHIN_AN_HOUR:NUMBER, with \
                      the number of the other application";
        return Err(needed.to_owned());
    }
    let (kind, other_application_number) = (kind.to_owned(), other.to_owned());
    Ok(pb::Suspicion { kind, other_application_number, confirmed: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspicion_is_named_as_it_is_shown() {
        let other = "0192f0c1-2345-7abc-8def-000000000001";
        let read = suspicion(&format!("SAME_SESSION:{other}")).expect("it is one");
        assert_eq!((read.kind.as_str(), read.other_application_number.as_str()), ("SAME_SESSION", other));
        assert_eq!(suspicion("AGE_OF_PHOTO").expect("it is one").other_application_number, "");
        for bad in ["", "SAME_SESSION", "SAME_SESSION:7", "AGE_OF_PHOTO:", "NAME", "WITHIN_AN_HOUR"] {
            assert!(suspicion(bad).expect_err(bad).contains("SEX_OF_PHOTO"), "{bad}");
        }
    }
}
