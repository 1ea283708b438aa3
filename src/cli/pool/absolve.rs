//! `todoke pool absolve`: says that what units share, and is suspect for it, is mended.

use clap::Args;

use super::orders::Giving;
use crate::{
    client::error::Error,
    wire::pb::{self, order_unit_request::Order},
};

/// Takes the suspicion from an attribute that is mended; the second of two operators does.
///
/// The first says what was changed and which hypothesis that tests; the second may leave both out, and then
/// signs the same. If it was not mended, the next unit that fails with it makes it suspect again. No unit
/// comes back by this: of one in quarantine that is `todoke pool sign-off`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  todoke pool absolve probe=deep --changed 'the HSM driver, 2.1 to 2.2' \\\n    \
                        --hypothesis 'it took two interrupts of a probe for one' \\\n    \
                        --endpoints dev/endpoints.json --as operator/alice"
)]
pub(super) struct AbsolveArgs {
    /// The attribute, as `todoke pool list` shows it
    #[arg(value_name = "NAME=VALUE")]
    attribute: String,
    /// What was changed
    #[arg(long, value_name = "TEXT", requires = "hypothesis")]
    changed: Option<String>,
    /// Which hypothesis the change tests
    #[arg(long, value_name = "TEXT", requires = "changed")]
    hypothesis: Option<String>,
    #[command(flatten)]
    pub(super) giving: Giving,
}

impl AbsolveArgs {
    pub(super) async fn run(&self) -> Result<(), Error> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (attribute, changed) = (self.attribute.clone(), text(&self.changed));
        let order = pb::AbsolveAttribute { attribute, changed, hypothesis: text(&self.hypothesis) };
        self.giving.give("", &self.attribute, Order::Absolve(order)).await
    }
}
