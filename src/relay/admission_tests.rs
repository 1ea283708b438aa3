//! Promise: a limit holds at its number and not one below, and gives back what was taken.

use super::*;
use crate::wire::fault::Reason;

const SECOND: u64 = 1_000_000_000;

fn caller(text: &str) -> Identity {
    text.parse().expect("legal")
}

fn options() -> Options {
    Options {
        caller_calls_max: 3,
        caller_rate: 10,
        caller_burst: 20,
        caller_reset_rate: 10,
        caller_reset_burst: 5,
        calls_max: 4,
        ..Options::default()
    }
}

#[test]
fn a_bucket_gives_its_burst_and_then_its_rate() {
    let bucket = Bucket::new(10, 20);
    let now = 7 * SECOND;
    assert!((0..20).all(|_| bucket.take(100, now).is_ok()));
    assert_eq!(bucket.take(100, now), Err(Duration::from_millis(100)));
    assert_eq!(bucket.take(100, now + SECOND / 10), Ok(()));
    assert!(bucket.take(100, now + SECOND / 10).is_err());
    assert!(!bucket.is_full(now + SECOND));
    let later = now + 10 * SECOND;
    assert!(bucket.is_full(later));
    assert_eq!(
        (0..100).filter(|_| bucket.take(100, later).is_ok()).count(),
        20,
        "no more than a burst is saved"
    );
}

#[test]
fn what_has_happened_is_charged_but_never_beyond_one_burst_of_debt() {
    let bucket = Bucket::new(10, 5);
    let now = SECOND;
    (0..5).for_each(|_| bucket.charge(now));
    assert_eq!(bucket.wait(now), Some(Duration::from_millis(100)));
    (0..1_000).for_each(|_| bucket.charge(now));
    assert_eq!(bucket.wait(now), Some(Duration::from_millis(600)));
    assert_eq!(bucket.wait(now + SECOND), None);
}

#[test]
fn a_caller_gets_its_calls_and_not_one_more() {
    let options = options();
    let admission = Admission::new(&options);
    let tenant = admission.tenant(&caller("municipality/131229"), &options, 0);
    assert!((0..3).all(|_| admission.enter(&tenant, None, &options, 0).is_ok()));
    let refusal = admission.enter(&tenant, None, &options, 0).expect_err("a fourth");
    assert_eq!((refusal.limit, refusal.max), (Limit::CallerCalls, 3));
    assert_eq!(refusal.fault().reason, Reason::TenantRateLimit);
    admission.leave(&tenant, None);
    assert_eq!(admission.enter(&tenant, None, &options, 0), Ok(()));
}

#[test]
fn all_together_get_theirs_and_a_refused_call_takes_nothing() {
    let options = options();
    let admission = Admission::new(&options);
    let one = admission.tenant(&caller("municipality/131229"), &options, 0);
    let two = admission.tenant(&caller("municipality/131211"), &options, 0);
    assert!((0..3).all(|_| admission.enter(&one, None, &options, 0).is_ok()));
    assert_eq!(admission.enter(&two, None, &options, 0), Ok(()));
    let refusal = admission.enter(&two, None, &options, 0).expect_err("the relay is full");
    assert_eq!(refusal.limit, Limit::AllCalls);
    assert_eq!(refusal.fault().reason, Reason::LaneFull);
    assert_eq!(admission.in_flight(), 4);
    admission.leave(&one, None);
    assert_eq!(admission.enter(&two, None, &options, 0), Ok(()));
    assert_eq!(two.in_flight.load(Relaxed), 2);
}

/// Lets a caller in to a lane until it is refused, and returns how often and which limit it met.
fn flood(admission: &Admission, tenant: &Tenant, lane: Lane, options: &Options) -> (usize, Limit) {
    let mut calls = 0;
    loop {
        match admission.enter(tenant, Some(lane), options, 0) {
            Ok(()) => calls += 1,
            Err(refusal) => {
                assert!(refusal.lane == Some(lane) && refusal.wait > Duration::ZERO, "{refusal:?}");
                return (calls, refusal.limit);
            }
        }
    }
}

fn of_lanes() -> Options {
    let upstreams = vec!["127.0.0.1:40301".to_owned()];
    let limits = Options { caller_rate: 10_000, caller_burst: 10_000, ..Options::default() };
    Options { upstreams, shards: 1, caller_calls_max: 100, calls_max: 200, ..limits }
}

#[test]
fn what_a_caller_lists_takes_nothing_from_its_counters() {
    let options = of_lanes();
    let admission = Admission::new(&options);
    let tenant = admission.tenant(&caller("municipality/131229"), &options, 0);
    assert_eq!(flood(&admission, &tenant, Lane::Reports, &options), (10, Limit::CallerLane));
    assert_eq!(flood(&admission, &tenant, Lane::Import, &options), (50, Limit::CallerLane));
    assert_eq!(flood(&admission, &tenant, Lane::CounterActivation, &options), (40, Limit::CallerCalls));
    let lanes: Vec<_> = admission.take_lanes().map(|(_, in_use, refused)| (in_use, refused)).collect();
    assert_eq!(lanes, [(40, [0, 0]), (0, [0, 0]), (0, [0, 0]), (50, [1, 0]), (10, [1, 0])]);
    assert!(admission.take_lanes().all(|(_, _, refused)| refused == [0, 0]), "each is told once");
    (0..10).for_each(|_| admission.leave(&tenant, Some(Lane::Reports)));
    assert_eq!(flood(&admission, &tenant, Lane::Reports, &options).0, 10, "it wears off");
}

#[test]
fn what_all_list_together_refuses_nobody_an_activation() {
    let options = of_lanes();
    let admission = Admission::new(&options);
    let tenants = (0..30).map(|n| admission.tenant(&caller(&format!("operator/o{n}")), &options, 0));
    let tenants: Vec<_> = tenants.collect();
    let floods = tenants.iter().map(|tenant| flood(&admission, tenant, Lane::Reports, &options));
    let floods: Vec<_> = floods.collect();
    assert_eq!(floods.iter().map(|(calls, _)| calls).sum::<usize>(), 20, "a tenth of 200");
    assert_eq!(floods[29], (0, Limit::Lane));
    assert_eq!(Limit::Lane.reason(), Reason::LaneFull);
    assert_eq!(flood(&admission, &tenants[0], Lane::CounterActivation, &options).0, 90, "the first has ten");
    assert_eq!(flood(&admission, &tenants[2], Lane::CounterActivation, &options), (90, Limit::Lane));
    assert_eq!(admission.in_flight(), 200, "and only all together are too many");
}

#[test]
fn a_rate_is_refused_with_the_time_to_wait() {
    let options = options();
    let admission = Admission::new(&options);
    let tenant = admission.tenant(&caller("municipality/131229"), &options, 0);
    for _ in 0..20 {
        admission.enter(&tenant, None, &options, SECOND).expect("within the burst");
        admission.leave(&tenant, None);
    }
    let refusal = admission.enter(&tenant, None, &options, SECOND).expect_err("too fast");
    assert_eq!((refusal.limit, refusal.wait), (Limit::CallerRate, Duration::from_millis(100)));
    assert_eq!(refusal.fault().retry_after, Some(Duration::from_millis(100)));
    assert_eq!(admission.in_flight(), 0);
}

#[test]
fn how_fast_a_caller_lists_takes_nothing_from_its_counters() {
    let options = Options { caller_rate: 10, caller_burst: 100, ..of_lanes() };
    let admission = Admission::new(&options);
    let tenant = admission.tenant(&caller("municipality/131229"), &options, 0);
    let calls = |lane| {
        let enter = || admission.enter(&tenant, Some(lane), &options, SECOND);
        let entered = std::iter::repeat_with(enter).take_while(|entered| match entered {
            Ok(()) => true,
            Err(refusal) => {
                assert_eq!(refusal.limit, Limit::CallerRate);
                assert!(refusal.wait >= Duration::from_millis(100), "{refusal:?}");
                false
            }
        });
        entered.inspect(|_| admission.leave(&tenant, Some(lane))).count()
    };
    assert_eq!(calls(Lane::Reports), 10, "a tenth of the burst");
    assert_eq!(calls(Lane::Import), 50);
    assert_eq!(calls(Lane::Reports), 0);
    assert_eq!(calls(Lane::CounterActivation), 40, "which is kept for those above");
    (0..10)
        .for_each(|_| assert!(admission.enter(&tenant, Some(Lane::Reports), &options, 12 * SECOND).is_ok()));
    for _ in 0..1_000 {
        let refusal = admission.enter(&tenant, Some(Lane::Reports), &options, 12 * SECOND);
        assert_eq!(refusal.expect_err("all are in flight").limit, Limit::CallerLane);
    }
    let left = (0..200).filter(|_| tenant.starts.take(100, 12 * SECOND).is_ok()).count();
    assert_eq!(left, 90, "what was refused has used nothing of the rate");
}

#[test]
fn who_breaks_off_too_much_is_refused_for_a_while() {
    let options = options();
    let admission = Admission::new(&options);
    let tenant = admission.tenant(&caller("municipality/131229"), &options, 0);
    (0..4).for_each(|_| tenant.reset(SECOND));
    admission.enter(&tenant, None, &options, SECOND).expect("one reset is left");
    tenant.reset(SECOND);
    let refusal = admission.enter(&tenant, None, &options, SECOND).expect_err("all are used");
    assert_eq!(refusal.limit, Limit::CallerResets);
    assert_eq!(admission.enter(&tenant, None, &options, 2 * SECOND), Ok(()));
}

#[test]
fn a_new_connection_does_not_wash_a_caller_clean() {
    let options = options();
    let admission = Admission::new(&options);
    let name = caller("municipality/131229");
    let tenant = admission.tenant(&name, &options, 0);
    (0..20).for_each(|_| {
        assert!(tenant.starts.take(100, SECOND).is_ok());
    });
    drop(tenant);
    for n in 0..IDLE_CALLERS_MAX {
        admission.tenant(&caller(&format!("operator/o{n}")), &options, SECOND);
    }
    let again = admission.tenant(&name, &options, SECOND);
    assert!(again.starts.take(100, SECOND).is_err(), "it was forgotten");
    assert!(admission.callers.lock().expect("free").len() < 10, "the idle ones were kept");
}
