//! The rule judges a recorded second exactly as it judged it live: both go this one way.

use std::collections::BTreeMap;

use serde::Deserialize as _;

use super::{Judge, Second};
use crate::pool::{
    evidence::UnitId,
    judgement::Judgement,
    policy::{Description, Policy},
    rule::{self, Attributes},
};

impl Judge for rule::Judge {
    fn restore(&mut self, kept: Option<&serde_json::Value>) -> Result<(), String> {
        *self = match kept {
            Some(kept) => rule::Judge::deserialize(kept).map_err(|error| error.to_string())?,
            None => rule::Judge::new(self.parameters().clone(), 0),
        };
        Ok(())
    }

    fn judge(&mut self, input: &Second, policy: &Policy) -> Judgement {
        self.units(&taking_part(policy));
        for (observer, weight) in &input.weights {
            self.weigh(observer, *weight);
        }
        for bucket in &input.buckets {
            // The judgement counts what is refused; there is nobody to tell.
            let _ = self.take(bucket, input.second);
        }
        rule::Judge::judge(self, input.second)
    }
}

/// The units that the rule is to judge, with what they may share.
fn taking_part(policy: &Policy) -> BTreeMap<UnitId, Attributes> {
    let attributes = |about: &Description| {
        let pairs = about.shared().into_iter().filter_map(|text| {
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Attributes(pairs.collect())
    };
    policy.judged().map(|unit| (unit.id().clone(), attributes(&unit.about))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::policy::{
        Fact, Parameters, Request, UNKNOWN,
        fixture::{about, order},
    };

    #[test]
    fn what_is_unknown_of_a_unit_is_nothing_that_the_rule_may_find_it_to_share() {
        let mut unsaid = about(1);
        (unsaid.model, unsaid.image) = (UNKNOWN.to_owned(), UNKNOWN.to_owned());
        unsaid.attributes = [("rack", "B"), ("agent", UNKNOWN)].map(|(a, b)| (a.into(), b.into())).into();
        let shared = [unsaid, about(2)].map(|about| {
            let (mut policy, unit) = (Policy::new(Parameters::default()), about.id.clone());
            let judgement = rule::Judge::new(rule::Parameters::default(), 0).judge(1);
            policy.step(1, &judgement, &[order("alice", Request::Register(Box::new(about)))]);
            policy.step(2, &judgement, &[Fact::LeaseRenewed { unit: unit.clone(), generation: 1 }]);
            taking_part(&policy)[&unit].texts().collect::<Vec<_>>()
        });
        assert_eq!(shared, [vec!["rack=B"], vec!["image=r1", "model=HSM-7"]]);
    }
}
