//! One item is shown with all that is known of it, and with what was recorded of it if that was asked for.

use serde_json::json;

use super::Item;
use crate::{
    cli::municipal::{Output, say, say_event, say_result},
    runtime::exit,
};

/// Shows an item and its events.
pub(in crate::cli) fn show<T: Item>(output: Output, item: Option<T>, events: &[T::Event]) -> u8 {
    let item = item.unwrap_or_default();
    let events = events.iter().map(T::event);
    if output == Output::Json {
        let counts = json!({format!("{}s", T::NAME): 1, format!("{}s", T::EVENT): events.len()});
        say_event(T::NAME, item.json());
        events.for_each(|event| say_event(T::EVENT, event.json()));
        return say_result(exit::DONE, counts);
    }
    for (name, value) in item.fields() {
        if !value.is_empty() {
            say(&format!("{name:columns$} {value}", columns = T::COLUMNS));
        }
    }
    events.for_each(|event| say(&event.line()));
    exit::DONE
}
