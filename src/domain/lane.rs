//! Of calls that come together the counter's go first: each stands in one lane, and a lane may use what is
//! kept for those below it, and never what is kept for those above.
//!
//! In 2016 a circular letter asked offices to leave the system alone from 9:30 to 12:00; nothing held them to
//! it.

/// What a call is for, the most urgent first: a person stands at the counter for the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// A card is being activated, with the person and the chip there.
    CounterActivation,
    /// A clerk looks something up, or notes what a person has come for.
    CounterLookUp,
    /// A card, or its envelope, is on its way to the counter.
    PreIssuance,
    /// Batches of records come in.
    Import,
    /// Somebody counts or lists.
    Reports,
}

/// What all methods of ours begin with.
const OURS: &str = "/todoke.v1.";
/// The services whose calls stand in lanes. Not so the pool's: what they are about is whether calls get
/// through at all, and they have limits of their own.
const SERVICES: [&str; 5] =
    ["BatchService", "CardService", "ApplicationService", "MailService", "ProductionService"];

impl Lane {
    /// Every lane, the most urgent first.
    pub const ALL: [Lane; 5] =
        [Lane::CounterActivation, Lane::CounterLookUp, Lane::PreIssuance, Lane::Import, Lane::Reports];

    /// The word that stands in metrics and faults.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Lane::CounterActivation => "counter_activation",
            Lane::CounterLookUp => "counter_look_up",
            Lane::PreIssuance => "pre_issuance",
            Lane::Import => "import",
            Lane::Reports => "reports",
        }
    }

    /// Whether a person waits for it at a counter.
    #[must_use]
    pub fn is_of_counter(self) -> bool {
        self <= Lane::CounterLookUp
    }

    /// The lane of a path such as `/todoke.v1.CardService/GetCard`; `None` for what stands in none: the
    /// pool's calls, health, reflection and whatever no issuer has. A method that is not known here comes
    /// last.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let (service, _) = path.strip_prefix(OURS)?.split_once('/')?;
        SERVICES.contains(&service).then(|| Self::listed(path).unwrap_or(Lane::Reports))
    }

    /// The lane of a method that is known here.
    #[must_use]
    pub fn listed(path: &str) -> Option<Self> {
        let (service, method) = path.strip_prefix(OURS)?.split_once('/')?;
        match service {
            "BatchService" => Some(Lane::Import),
            "CardService" => of_cards(method),
            "ApplicationService" => of_applications(method),
            "MailService" => of_mail(method),
            "ProductionService" => of_production(method),
            _ => None,
        }
    }
}

fn of_cards(method: &str) -> Option<Lane> {
    Some(match method {
        "BeginActivation" | "ConfirmActivation" | "QueryActivation" | "AbortActivation" => {
            Lane::CounterActivation
        }
        "GetCard" | "SuspendCard" | "ResumeCard" | "RevokeCard" | "SurrenderCard" | "RecordHolderEvent"
        | "CorrectReading" => Lane::CounterLookUp,
        "RecordArrival" | "RecordPreIssuance" | "NotifyHolder" | "ScrapCard" | "RemakeCard" => {
            Lane::PreIssuance
        }
        "ListCards" => Lane::Reports,
        _ => return None,
    })
}

fn of_applications(method: &str) -> Option<Lane> {
    Some(match method {
        "IssueForm"
        | "SubmitApplication"
        | "ReviewApplication"
        | "ConfirmIdentity"
        | "ResubmitApplication"
        | "VoidApplication"
        | "RestoreApplication"
        | "GetApplication" => Lane::CounterLookUp,
        "ListApplications" => Lane::Reports,
        _ => return None,
    })
}

fn of_mail(method: &str) -> Option<Lane> {
    Some(match method {
        "GetMailItem" | "HandOver" | "RequestRedelivery" | "ClaimEmptyEnvelope" | "GetRetention" => {
            Lane::CounterLookUp
        }
        "RecordProduced" | "RecordPosted" | "RecordDelivered" | "RecordReturned" | "StoreReturned"
        | "ProposeDisposal" | "ConfirmDisposal" | "ExtendRetention" | "VoidMailItem" => Lane::PreIssuance,
        "SubmitStocktake" | "ListMailItems" => Lane::Reports,
        _ => return None,
    })
}

fn of_production(method: &str) -> Option<Lane> {
    Some(match method {
        "AllocateQuota" | "PullOrders" | "ReportProduction" | "ReportShipment" | "RecallLot" => {
            Lane::PreIssuance
        }
        "GetLot" | "ListStageAges" => Lane::Reports,
        _ => return None,
    })
}

/// What part of all places is kept for each lane, in per cent, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares([usize; Lane::ALL.len()]);

impl Shares {
    /// Of what a process can do at once.
    pub const OF_ALL: Self = Self([25, 25, 15, 25, 10]);
    /// Of what one caller may have at once at a relay: an import is most of what a municipality does, and its
    /// counters take few places.
    pub const OF_A_CALLER: Self = Self([15, 15, 10, 50, 10]);

    /// How many of these places each lane may hold together with all below it, and one at least.
    ///
    /// That is the whole rule: where each lane and those below it stay within what is kept for them, every
    /// call has a place of its own lane or of one below (Hall's theorem), and of what is kept for the lanes
    /// above, which is all the rest, they never have any.
    #[must_use]
    pub fn limits(self, places: usize) -> [usize; Lane::ALL.len()] {
        Lane::ALL.map(|lane| (places.saturating_mul(self.percent(lane)) / 100).max(1))
    }

    /// What this lane may have together with all below it, in per cent.
    #[must_use]
    pub fn percent(self, lane: Lane) -> usize {
        self.0[lane as usize..].iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_stand_in_the_order_of_their_urgency() {
        for (at, lane) in Lane::ALL.into_iter().enumerate() {
            assert_eq!(lane as usize, at);
            assert_eq!(lane.is_of_counter(), at < 2);
        }
        assert!(Lane::CounterActivation < Lane::Reports);
    }

    #[test]
    fn a_call_stands_in_the_lane_of_what_it_is_for() {
        for (path, lane) in [
            ("/todoke.v1.CardService/ConfirmActivation", Some(Lane::CounterActivation)),
            ("/todoke.v1.CardService/GetCard", Some(Lane::CounterLookUp)),
            ("/todoke.v1.ApplicationService/SubmitApplication", Some(Lane::CounterLookUp)),
            ("/todoke.v1.MailService/RecordDelivered", Some(Lane::PreIssuance)),
            ("/todoke.v1.ProductionService/ReportProduction", Some(Lane::PreIssuance)),
            ("/todoke.v1.BatchService/UploadChunks", Some(Lane::Import)),
            ("/todoke.v1.CardService/ListCards", Some(Lane::Reports)),
            ("/todoke.v1.CardService/WhatComesNext", Some(Lane::Reports)),
            ("/todoke.v1.NoService/GetCard", None),
            ("/todoke.v1.PoolService/Probe", None),
            ("/grpc.health.v1.Health/Check", None),
            ("/todoke.v1.CardService", None),
            ("", None),
        ] {
            assert_eq!(Lane::of_path(path), lane, "{path}");
        }
        assert_eq!(Lane::listed("/todoke.v1.CardService/WhatComesNext"), None);
    }

    #[test]
    fn every_lane_has_its_share_and_may_have_those_of_all_below() {
        for shares in [Shares::OF_ALL, Shares::OF_A_CALLER] {
            assert_eq!(shares.0.iter().sum::<usize>(), 100, "all places are somebody's");
            assert_eq!(shares.limits(1), [1; 5]);
            assert_eq!(shares.limits(0), [1; 5], "a lane that nobody may use is none");
        }
        assert_eq!(Shares::OF_ALL.limits(256), [256, 192, 128, 89, 25]);
        assert_eq!(Shares::OF_ALL.limits(100), [100, 75, 50, 35, 10]);
        assert_eq!(Shares::OF_A_CALLER.percent(Lane::Import), 60);
        assert_eq!(Shares::OF_A_CALLER.limits(128), [128, 108, 89, 76, 12]);
    }
}
