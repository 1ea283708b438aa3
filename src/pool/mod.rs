//! The relay pool: from what many observers saw, one judge says which unit is sick, and why; a unit is taken
//! out for a stated reason, never two at once, and comes back only by steps.
//!
//! [`evidence`] is what was seen, the [`rule`] makes a [`judgement`] of it each second, and the policy
//! decides. Rule and policy are pure: the same evidence gives the same decisions again.
//! [`evidence`] is what was seen, the rule makes a [`judgement`] of it each second, and the [`policy`] decides.
//! Rule and policy are pure: the same evidence gives the same decisions again, which a [`ledger`] lets anybody
//! check. [`elsewhere`] is what the usual tools would have done.
//! [`evidence`] is what was seen, the rule makes a [`judgement`] of it each second, and the [`policy`]
//! decides. Rule and policy are pure: the same evidence gives the same decisions again, which a [`ledger`]
//! lets anybody check. [`elsewhere`] is what the usual tools would have done.

pub mod elsewhere;
pub mod evidence;
pub mod judgement;
pub mod ledger;
pub mod notes;
pub mod policy;
pub mod rule;
