//! `todoke application list`: the applications of a municipality, all or those in one state, the longest in
//! it first.

use std::time::Duration;

use clap::{Args, builder::TypedValueParser};

use super::item::state;
use crate::{
    cli::{
        giving::Asker,
        lives::{
            list::{list, since},
            time, words,
        },
        municipal,
    },
    client::{calls::Weight, error::Error},
    domain::{life::application::ApplicationState, municipality::MunicipalityCode},
    wire::pb,
};

/// What people hear where there is none.
const NOTHING: &str = "no such applications: without --state all are listed";

/// Which applications are listed.
#[derive(Debug, Clone, Args)]
pub(super) struct ListArgs {
    /// Whose applications; a municipality sees its own and leaves it out
    #[arg(long, value_name = "CODE")]
    municipality: Option<MunicipalityCode>,
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = states())]
    state: Option<pb::ApplicationState>,
    /// Only those that are in the state for so long at least
    #[arg(long, value_name = "TIME", value_parser = municipal::duration, requires = "state")]
    older_than: Option<Duration>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    pub(super) asking: Asker,
}

fn states() -> impl TypedValueParser<Value = pb::ApplicationState> {
    let known = ApplicationState::ALL.iter().map(|state| state.as_str());
    words(known, "APPLICATION_STATE_", pb::ApplicationState::from_str_name)
}

pub(super) async fn run(args: &ListArgs) -> Result<u8, Error> {
    let shown = args.asking.party()?.over(async |party| {
        let by = since(args.older_than);
        let page = async |page_size, page_token| {
            let message = pb::ListApplicationsRequest {
                municipality_code: args.municipality.as_ref().map(ToString::to_string).unwrap_or_default(),
                page_size,
                page_token,
                state: args.state.unwrap_or_default().into(),
                state_by_time: by,
            };
            let page =
                party.ask("ListApplications", Weight::Light, &message, |attempt, request| async move {
                    attempt.applications().list_applications(request).await
                });
            page.await.map(|page| (page.applications, page.next_page_token))
        };
        list((args.limit, args.asking.output), page, line, NOTHING).await
    });
    shown.await
}

fn line(item: &pb::Application) -> String {
    let since = time(item.state_time.as_ref());
    format!("{}  {:18}  {since}  {}", item.application_number, state(item), item.order_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_an_application_can_be_asked_for() {
        for state in ApplicationState::ALL {
            let known = pb::ApplicationState::from_str_name(&format!("APPLICATION_STATE_{state}"));
            assert!(known.is_some(), "{state}");
        }
    }
}
