//! A call that failed, in words that say who has to do what.

use tonic::Status;

use super::refusals::{advice, refused_certificate, server_not_believed};
use crate::wire::fault::{Actor, Fault, Reason};

/// A call that did not succeed.
#[derive(Debug, Clone)]
pub struct CallError {
    /// Which call.
    pub method: &'static str,
    /// What the last attempt said.
    pub status: Box<Status>,
    /// Its stable reason, when it came from todoke.
    pub fault: Option<Box<Fault>>,
    /// How many attempts were made.
    pub attempts: u32,
    /// Whether waiting may help.
    pub transient: bool,
}

impl std::error::Error for CallError {}

impl CallError {
    /// Whether this is why it failed.
    #[must_use]
    pub fn is(&self, reason: Reason) -> bool {
        self.fault.as_ref().is_some_and(|fault| fault.reason == reason)
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.transient, self.attempts) {
            // It was not tried again: another relay may have been asked whether it says the same.
            (false, _) => write!(f, "{} failed: ", self.method)?,
            (true, 1) => write!(f, "{} failed after 1 attempt: ", self.method)?,
            (true, attempts) => write!(f, "{} failed after {attempts} attempts: ", self.method)?,
        }
        match &self.fault {
            Some(fault) => {
                write!(f, "{}: {}", fault.reason.as_str(), fault.whole_message())?;
                if self.transient && fault.reason.actor() == Actor::Operator {
                    let remedy = fault.reason.remedy();
                    return write!(f, ". {remedy} The same command goes on from here");
                }
                if self.transient {
                    // The remedy of such a reason is to wait and to try again, which this client has done.
                    return write!(
                        f,
                        ". It was tried again in vain; the same command goes on from here later"
                    );
                }
                write!(f, ". {}", fault.reason.remedy())
            }
            None => match refused_certificate(&self.status) {
                Some(alert) if self.transient => write!(
                    f,
                    "this certificate was refused ({alert}), and by this machine's clock and \"ca\" in \
                     endpoints.json nothing is wrong with it. Either the relays do not know its CA, or their \
                     clock or their list of revoked certificates is out of date: tell the operator of the \
                     relays. The same command goes on from here"
                ),
                Some(alert) => write!(
                    f,
                    "this certificate was refused ({alert}). `todoke pki show FILE` tells whose it is \
                     and until when; ask the operator for a new one"
                ),
                None => {
                    let asking = match server_not_believed(&self.status) {
                        Some(why) => {
                            write!(f, "the server's certificate is not believed ({why})")?;
                            advice(&why)
                        }
                        None => {
                            write!(f, "{:?}: {}", self.status.code(), self.status.message())?;
                            if !self.transient {
                                return Ok(());
                            }
                            "Is the system running, and are these its addresses?"
                        }
                    };
                    write!(f, ". {asking} The same command goes on from here")
                }
            },
        }
    }
}
