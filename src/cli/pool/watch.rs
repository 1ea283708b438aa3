//! `todoke pool watch`: each decision as it is made, over whichever issuer can tell, until it is stopped.

use std::{
    io::{Write as _, stdout},
    time::Duration,
};

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};

use super::{asking::Asking, list::decides, show};
use crate::{
    cli::municipal::{Output, say_result},
    client::{error::Error, issuers::Issuers},
    runtime::exit,
    wire::pb,
};

/// How long one issuer is listened to before it is asked anew who decides: only that one tells at once.
const TURN: Duration = Duration::from_secs(15);

/// How long to wait after a stream that broke.
const AFTER_BREAK: Duration = Duration::from_secs(1);

/// Shows each decision when it is made, until it is stopped (Ctrl-C).
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  \
    todoke pool watch --endpoints dev/endpoints.json --as operator/alice")]
pub(super) struct WatchArgs {
    /// Begins after the decision of this number, 0: with the first, instead of now
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// Ends after so many decisions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

pub(super) async fn run(args: &WatchArgs) -> Result<(), Error> {
    let issuers = args.asking.issuers()?;
    let mut watch = Watch { output: args.asking.output, last: 0, shown: 0, most: args.count };
    watch.last = match args.after {
        Some(number) => number,
        None => newest(&issuers).await?,
    };
    tokio::select! {
        ended = watch.go_on(&issuers) => ended?,
        stopped = tokio::signal::ctrl_c() => drop(stopped),
    }
    if args.asking.output == Output::Json {
        say_result(exit::DONE, json!({"decisions": watch.shown, "last": watch.last}));
    }
    Ok(())
}

/// The number of the last decision; 0 if there is none.
async fn newest(issuers: &Issuers) -> Result<u64, Error> {
    let message = pb::ListDecisionsRequest { page_size: 1, ..pb::ListDecisionsRequest::default() };
    let page = issuers
        .ask("ListDecisions", &message, |mut pool, request| async move { pool.list_decisions(request).await })
        .await?;
    Ok(page.decisions.first().map_or(0, |decision| decision.number))
}

struct Watch {
    output: Output,
    /// The number of the decision that was shown last.
    last: u64,
    shown: u64,
    most: Option<u64>,
}

impl Watch {
    /// Shows decisions until enough were, or nobody reads them any more.
    async fn go_on(&mut self, issuers: &Issuers) -> Result<(), Error> {
        loop {
            // Whoever decides is asked first from here on.
            issuers
                .prefer(
                    "ListUnits",
                    &pb::ListUnitsRequest {},
                    |mut pool, request| async move { pool.list_units(request).await },
                    decides,
                )
                .await?;
            let message = pb::WatchDecisionsRequest { after_number: Some(self.last) };
            let mut stream = issuers
                .ask("WatchDecisions", &message, |mut pool, request| async move {
                    pool.watch_decisions(request).await
                })
                .await?;
            let until = Instant::now() + TURN;
            while let Ok(next) = timeout_at(until, stream.message()).await {
                let Ok(Some(pb::WatchDecisionsResponse { decision: Some(decision) })) = next else {
                    sleep(AFTER_BREAK).await;
                    break;
                };
                if self.show(&decision) {
                    return Ok(());
                }
            }
        }
    }

    /// Shows one; whether it was the last to be shown.
    fn show(&mut self, decision: &pb::Decision) -> bool {
        if decision.number <= self.last {
            return false;
        }
        self.last = decision.number;
        self.shown += 1;
        let line = match self.output {
            Output::Text => show::decision_row(decision).join("  "),
            Output::Json => {
                let mut value = show::decision_json(decision);
                value["event"] = "decision".into();
                value.to_string()
            }
        };
        let written = writeln!(stdout().lock(), "{line}");
        written.is_err() || self.most.is_some_and(|most| self.shown >= most)
    }
}
