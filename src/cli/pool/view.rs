//! `todoke pool view`: which relays clients are to use, as the issuers signed it.

use std::io::{self, Write as _};

use clap::Args;
use serde_json::json;

use super::{asking::Asking, show::table};
use crate::{
    cli::municipal::{Output, say, say_event, say_result},
    client::{error::Error, receipts::load_key},
    pool::{explain::time_of, notes::View},
    runtime::exit,
    wire::pb,
};

/// Shows the view that clients go by, once its signature is checked.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  \
    todoke pool view --endpoints dev/endpoints.json --as operator/alice")]
pub(super) struct ViewArgs {
    /// Prints the signed note as it is, for whoever checks it elsewhere
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    pub(super) asking: Asking,
}

pub(super) async fn run(args: &ViewArgs) -> Result<(), Error> {
    let path = args.asking.endpoints()?.receipt_key;
    let key = load_key(&path).map_err(|error| Error::Setup(format!("{}: {error}", path.display())))?;
    let issuers = args.asking.issuers()?;
    let message = pb::GetViewRequest {};
    let answer = issuers
        .ask("GetView", &message, |mut pool, request| async move { pool.get_view(request).await })
        .await?;
    let view = View::open(&answer.view, &key).map_err(|error| {
        let path = path.display();
        Error::Conflict(format!(
            "the view is not believed: {error}. It is checked with {path}, \"receipt_key\" in endpoints.json"
        ))
    })?;
    let note = String::from_utf8_lossy(&answer.view);
    match (args.asking.output, args.raw) {
        // As it is, for whoever checks it elsewhere: it was signed, so nothing foreign stands in it.
        (Output::Text, true) => drop(io::stdout().lock().write_all(&answer.view)),
        (Output::Text, false) => lines(&view).iter().for_each(|line| say(line)),
        (Output::Json, raw) => {
            view.members.iter().for_each(|member| say_event("member", member));
            let mut result = json!({"version": view.version, "epoch": view.epoch, "made": made(&view)});
            if raw {
                result["note"] = note.into();
            }
            say_result(exit::DONE, result);
        }
    }
    Ok(())
}

fn made(view: &View) -> String {
    time_of(u64::try_from(view.made_ms / 1_000).unwrap_or_default())
}

fn lines(view: &View) -> Vec<String> {
    let rows: Vec<Vec<String>> = view
        .members
        .iter()
        .map(|member| {
            let share = format!("{} %", member.share_percent);
            vec![member.unit.to_string(), share, member.generation.to_string(), member.address.clone()]
        })
        .collect();
    let mut lines = vec![format!("Version {} of epoch {}, made {}", view.version, view.epoch, made(view))];
    lines.extend(table(&["UNIT", "SHARE", "GENERATION", "ADDRESS"], &rows));
    lines
}
