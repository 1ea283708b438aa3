//! Promise: a unit of which a second process holds the lease at another address is sent no calls, is held
//! to no account for it, and comes back by its probes; and the view is never empty for it.

use super::{
    Alarm, Decision, Fact, Kind, Lease, Parameters, Policy, Request, Rule, State,
    fixture::{Pool, about, id, order},
};

fn at(n: usize, address: Option<&str>) -> Fact {
    Fact::Elsewhere { unit: id(n), address: address.map(str::to_owned) }
}

fn moved(n: usize) -> Fact {
    at(n, Some("127.0.0.1:9"))
}

fn kinds(decisions: &[Decision]) -> Vec<(Rule, Kind)> {
    decisions.iter().map(|one| (one.rule, one.kind.clone())).collect()
}

const RAISED: (Rule, Kind) = (Rule::E6, Kind::Alarm(Alarm::Elsewhere));
const OVER: (Rule, Kind) = (Rule::E6, Kind::AlarmOver(Alarm::Elsewhere));

#[test]
fn it_is_out_in_that_second_and_joins_by_its_probes_once_it_is_where_it_is_registered() {
    let mut pool = Pool::of(4);
    let told = pool.tell(vec![moved(2)]);
    assert_eq!(kinds(&told), [RAISED, (Rule::E6, Kind::Leave)]);
    let why = &told[1].reason;
    assert!(
        why.contains("127.0.0.1:9") && why.contains("127.0.0.1:40102") && why.contains("End the later one"),
        "{why}"
    );
    pool.run(100);
    assert_eq!((pool.state(2), pool.shares()), (State::Joining, vec![100, 0, 100, 100]));
    assert!(pool.policy.grants_lease(&id(2)) && pool.policy.takes_calls(&id(2)), "it serves who finds it");
    assert!(pool.policy.outlook(&id(2)).is_some_and(|next| next.contains("127.0.0.1:9")));
    let told = pool.tell(vec![at(2, None)]);
    assert_eq!(kinds(&told), [OVER]);
    let back = pool.until(&Kind::Admit, 2, 10);
    assert_eq!((back.rule, pool.policy.penalties(&pool.policy.units()[&id(2)]).slow), (Rule::J1, 0.0));
}

#[test]
fn who_is_gone_is_nowhere() {
    let mut pool = Pool::of(3);
    pool.tell(vec![moved(2)]);
    pool.gone.insert(id(2));
    pool.run(1);
    assert_eq!(pool.policy.units()[&id(2)].elsewhere, None);
    assert!(!pool.policy.alarms().values().any(|raised| raised.kind == RAISED.1));
    assert_eq!(pool.policy.units()[&id(2)].lease, Lease::Lapsed);
}

#[test]
fn one_that_is_out_or_on_its_way_back_gets_no_further_there() {
    let mut pool = Pool::of(4);
    pool.sick(3, 30.0);
    pool.until(&Kind::Evict, 3, 3);
    pool.well(3);
    pool.until(&Kind::StartProbation, 3, 2_000);
    let told = pool.tell(vec![moved(3)]);
    assert_eq!(kinds(&told), [RAISED, (Rule::E6, Kind::Leave)]);
    let evictions = pool.policy.units()[&id(3)].evictions;
    pool.run(500);
    assert_eq!((pool.state(3), pool.policy.units()[&id(3)].evictions), (State::Evicted, evictions));
    let told = pool.tell(vec![at(3, None)]);
    assert_eq!(kinds(&told), [OVER, (Rule::R1, Kind::StartProbation)]);
    pool.until(&Kind::Step(1), 3, 200);
    pool.tell(vec![moved(3)]);
    assert_eq!(pool.state(3), State::Evicted, "while it returns, too");
}

#[test]
fn the_view_is_never_empty_for_it_and_who_is_where_it_should_be_is_taken_first() {
    let mut pool = Pool::of(2);
    pool.tell(vec![moved(1)]);
    assert_eq!(pool.shares(), [0, 100]);
    let told = pool.tell(vec![moved(2)]);
    pool.run(100);
    assert_eq!(pool.shares(), [0, 100], "the last that was in use is kept");
    assert!(kinds(&told).contains(&(Rule::F2, Kind::Alarm(Alarm::NothingServes))), "{told:?}");
    assert!(pool.policy.alarms().values().any(|raised| raised.kind == Kind::Degraded));
    let told = pool.tell(vec![at(1, None)]);
    assert!(kinds(&told).contains(&(Rule::F2, Kind::Admit)), "{told:?}");
    assert_eq!(pool.shares(), [100, 0]);

    let mut alone = Pool::of(1);
    alone.tell(vec![moved(1)]);
    alone.run(100);
    assert_eq!((alone.state(1), alone.shares()), (State::Joining, vec![100]));
    alone.tell(vec![at(1, None)]);
    assert_eq!(alone.state(1), State::Healthy);
}

#[test]
fn a_unit_that_was_moved_is_well_again_once_its_new_address_is_registered() {
    let mut pool = Pool::of(3);
    pool.tell(vec![moved(2)]);
    pool.run(5);
    let mut new = about(2);
    new.address = "127.0.0.1:9".to_owned();
    let told = pool.tell(vec![order("alice", Request::Register(Box::new(new)))]);
    assert_eq!(kinds(&told), [(Rule::O1, Kind::Register), OVER]);
    pool.until(&Kind::Admit, 2, 10);
}

#[test]
fn whoever_goes_on_from_what_was_kept_decides_the_same() {
    let mut pool = Pool::with(3, Parameters::default());
    pool.tell(vec![moved(2)]);
    let kept = serde_json::to_string(&pool.policy).expect("it has a JSON form");
    let mut other = pool.clone();
    other.policy = serde_json::from_str::<Policy>(&kept).expect("it is read again");
    for pool in [&mut pool, &mut other] {
        pool.run(20);
        pool.tell(vec![at(2, None)]);
        pool.run(20);
    }
    assert_eq!((pool.record, pool.policy), (other.record, other.policy));
}
