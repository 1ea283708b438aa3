//! `todoke pool register`: makes a unit known, and says whether it adds more than capacity.

use clap::Args;

use super::orders::Ordering;
use crate::{
    client::error::Error,
    wire::pb::{self, order_unit_request::Order},
};

/// Makes a unit known, or says what it is now while it is out of use; warns of what it shares.
///
/// If it shares a suspect attribute with others, it adds capacity and no diversity, which is said.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example:\n  todoke pool register relay-5 --address 10.0.0.15:40101 --model HSM-7 \\\n    \
                        --image r12 --attribute rack=B --endpoints dev/endpoints.json --as operator/alice"
)]
pub(super) struct RegisterArgs {
    /// Where it takes calls
    #[arg(long, value_name = "HOST:PORT")]
    address: String,
    /// The place that the box stands in [default: as it was, or the unit's name]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    slot: String,
    /// The box's own number [default: as it was, or the unit's name]
    #[arg(long, value_name = "NUMBER", default_value = "", hide_default_value = true)]
    serial: String,
    /// The box's model [default: as it was, or unknown]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    model: String,
    /// The software on it [default: as it was, or unknown]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    image: String,
    /// What else it may share with others, such as rack=B; may be given several times, all or none of them
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = pair)]
    attributes: Vec<(String, String)>,
    #[command(flatten)]
    pub(super) order: Ordering,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("must be NAME=VALUE, such as rack=B".to_owned()),
    }
}

impl RegisterArgs {
    pub(super) async fn run(&self) -> Result<(), Error> {
        let attributes = pb::UnitAttributes {
            address: self.address.clone(),
            slot: self.slot.clone(),
            serial: self.serial.clone(),
            model: self.model.clone(),
            image: self.image.clone(),
            others: self.attributes.iter().cloned().collect(),
        };
        self.order.give(Order::Register(pb::RegisterUnit { attributes: Some(attributes) })).await
    }
}
