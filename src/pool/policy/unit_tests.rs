//! Promise: states have their names in one list, and a description is held to its limits.

use super::{super::fixture::about, *};

#[test]
fn every_state_has_its_name_in_the_list_of_names() {
    let all = [
        State::Joining,
        State::Healthy,
        State::Suspect,
        State::Draining,
        State::Evicted,
        State::Probation,
        State::Returning(5),
        State::Quarantined,
        State::Drained,
    ];
    assert_eq!(all.map(State::name), State::NAMES);
}

#[test]
fn a_description_fits_its_limits_and_nothing_beyond_does() {
    let long = |bytes: usize| "x".repeat(bytes);
    let with =
        |name: String, value: String| Description { attributes: BTreeMap::from([(name, value)]), ..about(1) };
    let many = |n: usize| Description {
        attributes: (0..n).map(|n| (format!("a{n}"), "v".to_owned())).collect(),
        ..about(1)
    };
    for (description, faults) in [
        (Description { serial: long(64), ..about(1) }, 0),
        (Description { serial: long(65), model: String::new(), ..about(1) }, 2),
        (many(16), 0),
        (many(17), 1),
        (with(long(64), long(64)), 0),
        (with(long(65), long(64)), 1),
        (with("rack=1".to_owned(), "v".to_owned()), 1),
        (with("model".to_owned(), "v".to_owned()), 1),
        (Description { address: "relay-1.example:443".to_owned(), ..about(1) }, 0),
        (Description { address: "[::1]:443".to_owned(), ..about(1) }, 0),
        (Description { address: "relay-1:0".to_owned(), ..about(1) }, 1),
        (Description { address: "a b:1".to_owned(), ..about(1) }, 1),
        (Description { address: format!("{}:443", long(257)), ..about(1) }, 1),
    ] {
        assert_eq!(description.faults().len(), faults, "{description:?}: {:?}", description.faults());
    }
}
