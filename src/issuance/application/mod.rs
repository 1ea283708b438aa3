//! Applications: what applicants, offices and the producer say of each is recorded, and where it stands
//! follows from that.
//!
//! `service` has the calls. `forms` makes the application IDs, `submit` takes what was made with one and
//! `attempts` counts wrong ones; `record` has what all acts of an office have in common, `acts` those that
//! change an application alone, `void` the one that ends its card with it. `event` is what is stored of each
//! thing that happens, `life` what that makes of an application, `photo` what is kept of a photograph,
//! `suspects` what looks like a swap within a household, `view` how an application looks in the API.

mod acts;
mod attempts;
pub(crate) mod event;
mod forms;
pub(crate) mod life;
mod photo;
mod record;
mod service;
mod submit;
pub(crate) mod suspects;
mod view;
mod void;

pub(crate) use service::Applications;
