//! Issuers that decide by the real controller's core, and the database that says which of them does, and
//! keeps what was decided.

use std::{collections::BTreeMap, rc::Rc};

use todoke::{
    domain::identity::Identity,
    pool::{
        controller::{Options, simulated::Deciding},
        evidence::{Observer, UnitId},
        keeper::KeepError,
        policy::{Decision, Description, Operator, Request},
        rule,
    },
    wire::pb::{EvidenceBucket, EvidenceClass},
};

use super::{eyes::Eyes, law, plan::Plan, relay};
use crate::random::Random;

/// How long a controller's lease lives, and how often it is renewed.
const HELD_MS: i64 = 10_000;
const RENEW_MS: i64 = 3_000;

/// A view, as it is published.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    /// By unit; 0 of one that is to be sent nothing.
    pub(crate) shares: Vec<u8>,
}

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Database {
    holder: Option<usize>,
    until_ms: i64,
    epoch: u64,
    pub(crate) state: Option<String>,
}

/// One issuer.
pub(crate) struct Issuer {
    pub(crate) observer: Observer,
    pub(crate) eyes: Eyes,
    /// `None` while its process is gone.
    pub(crate) deciding: Option<Deciding>,
    /// Calls that came by each relay since it last looked.
    pub(crate) passed_on: Vec<u32>,
    renewed_ms: i64,
}

/// The numbers of a controller in this pool; of one that was started anew nothing is learned yet.
fn options(plan: &Plan, has_learned: bool) -> Options {
    let known = rule::Parameters::default();
    let usual = known.p0_factor * law::usual_excess(plan.errors);
    let p0_start = if has_learned { usual.clamp(known.p0_min, known.p0_max) } else { known.p0_start };
    Options { rule: rule::Parameters { p0_start, ..known }, ..Options::default() }
}

/// Units that are even by number have one model, the others another; but of a pool whose first two are sick
/// together these have one.
fn about(unit: usize) -> Description {
    let model = if unit < 2 { "model-x" } else { "model-y" };
    Description {
        id: relay::unit_id(unit),
        address: format!("10.0.0.{}:443", unit + 1),
        slot: format!("slot-{unit}"),
        serial: format!("serial-{unit}"),
        model: model.to_owned(),
        image: format!("image-{unit}"),
        attributes: BTreeMap::new(),
    }
}

impl Issuer {
    pub(crate) fn new(plan: &Plan, number: usize, now_ms: i64, dice: &mut Random) -> Self {
        let identity: Identity = format!("issuer/issuer-{}", number + 1).parse().expect("an identity");
        let mut deciding = Deciding::new(options(plan, true), now_ms);
        let by = Operator::try_from("operator/alice".to_owned()).expect("an operator");
        for unit in 0..plan.units {
            deciding.order(by.clone(), Request::Register(Box::new(about(unit))));
        }
        Self {
            observer: Observer::new(identity).expect("an issuer observes"),
            eyes: Eyes::new(plan.units, dice.fork()),
            deciding: Some(deciding),
            passed_on: vec![0; plan.units],
            renewed_ms: 0,
        }
    }

    /// Its process is gone, or there again, and knows nothing.
    pub(crate) fn live(&mut self, plan: &Plan, lives: bool, now_ms: i64) {
        if lives != self.deciding.is_some() {
            self.deciding = lives.then(|| Deciding::new(options(plan, false), now_ms));
            self.renewed_ms = 0;
        }
    }

    /// What it saw by itself in a second.
    pub(crate) fn observe(&mut self, buckets: &[EvidenceBucket], late_ms: u32, now_ms: i64) {
        if let Some(deciding) = &mut self.deciding {
            deciding.observe(&self.observer, buckets, late_ms, now_ms).expect("it is not too much");
        }
    }

    /// The calls that relays passed on since the last time.
    pub(crate) fn calls(&mut self, second: i64, units: &[UnitId]) -> Vec<EvidenceBucket> {
        let calls = self.passed_on.iter_mut().enumerate().filter(|(_, calls)| **calls > 0);
        let bucket = |(unit, calls): (usize, &mut u32)| {
            let seen = (std::mem::take(calls), 0);
            relay::bucket(second, &units[unit], EvidenceClass::Traffic, String::new(), seen, Vec::new())
        };
        calls.map(bucket).collect()
    }

    /// Keeps the lease, or takes it if it is free.
    pub(crate) fn renew(&mut self, number: usize, database: Option<&mut Database>, now_ms: i64) {
        let Some(deciding) = &mut self.deciding else { return };
        let Some(database) = database else { return };
        if deciding.epoch() > 0 && now_ms - self.renewed_ms < RENEW_MS {
            return;
        }
        let holds = database.holder == Some(number) && database.epoch == deciding.epoch();
        if holds {
            database.until_ms = now_ms + HELD_MS;
        } else if database.holder.is_none() || now_ms > database.until_ms {
            *database = Database {
                holder: Some(number),
                until_ms: now_ms + HELD_MS,
                epoch: (database.epoch + 1).max(now_ms as u64 / 1_000),
                state: database.state.take(),
            };
            deciding.take_over(database.epoch, database.state.as_deref(), now_ms);
        } else {
            deciding.step_down();
            return;
        }
        self.renewed_ms = now_ms;
    }

    /// A second is over: what was decided in it.
    pub(crate) fn step(&mut self, peak: u32, database: Option<&mut Database>, now_ms: i64) -> Vec<Decision> {
        let Some(deciding) = &mut self.deciding else { return Vec::new() };
        let epoch = deciding.epoch();
        if epoch == 0 {
            deciding.follow(database.and_then(|database| database.state.as_deref()), now_ms);
            return Vec::new();
        }
        let mut is_over = false;
        let decisions = deciding.step(peak, now_ms, |state| match database {
            Some(database) if database.epoch == epoch => {
                database.state = Some(state.to_owned());
                Ok(())
            }
            Some(_) => {
                is_over = true;
                Err(KeepError::Away("another issuer decides".to_owned()))
            }
            None => Err(KeepError::Away("it is away".to_owned())),
        });
        if is_over {
            deciding.step_down();
        }
        decisions
    }

    /// The view as it is published, if that is another than this one.
    pub(crate) fn published(&self, before: &Published) -> Option<Rc<Published>> {
        let deciding = self.deciding.as_ref()?;
        let view = deciding.policy().view()?;
        let is_newer = (view.epoch, view.version) > (before.epoch, before.version);
        is_newer.then(|| {
            let shares = view.units.iter().map(|entry| entry.share_percent).collect();
            Rc::new(Published { epoch: view.epoch, version: view.version, shares })
        })
    }
}
