//! Promise: the trees are RFC 6962's, chunk by chunk, and a path proves its record and no other.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../tests/data/merkle.json")).expect("the vectors are JSON")
}

fn digest(value: &Value) -> Digest {
    value.as_str().expect("hex").parse().expect("a digest")
}

fn digests(value: &Value) -> Vec<Digest> {
    value.as_array().expect("a list").iter().map(digest).collect()
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().expect("a number")).expect("small")
}

fn leaves(count: usize) -> Vec<Digest> {
    (0..count).map(|n| leaf_hash(format!("record-{n}").as_bytes())).collect()
}

/// The definition of RFC 6962, word for word.
fn naive_root(nodes: &[Digest]) -> Digest {
    match nodes {
        [] => Digest::of(b""),
        [one] => *one,
        many => {
            let mut k = 1;
            while k * 2 < many.len() {
                k *= 2;
            }
            node_hash(naive_root(&many[..k]), naive_root(&many[k..]))
        }
    }
}

#[test]
fn the_published_roots_are_ours() {
    for tree in vectors()["published"].as_array().expect("a list") {
        let nodes: Vec<Digest> = tree["leaves"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|leaf| leaf_hash(&hex::decode(leaf.as_str().expect("hex")).expect("hex")))
            .collect();
        assert_eq!(root(&nodes), digest(&tree["root"]), "{} leaves", nodes.len());
    }
}

#[test]
fn chunk_roots_fold_to_the_batchs_root_and_its_paths_are_made_of_both() {
    for tree in vectors()["trees"].as_array().expect("a list") {
        let (n, c) = (number(&tree["n"]), number(&tree["c"]));
        let nodes = leaves(n);
        let roots: Vec<Digest> = nodes.chunks(c).map(root).collect();
        assert_eq!(roots, digests(&tree["chunk_roots"]), "n {n}");
        assert_eq!(root(&roots), digest(&tree["root"]), "n {n}");
        assert_eq!(root(&nodes), digest(&tree["root"]), "n {n}");
        let index = number(&tree["proof_index"]);
        let expected = digests(&tree["proof"]);
        assert_eq!(path(&nodes, index), expected, "n {n}");
        let first = index / c * c;
        let chunk = &nodes[first..(first + c).min(n)];
        let both = [path(chunk, index - first), path(&roots, index / c)].concat();
        assert_eq!(both, expected, "n {n}, by chunks");
        assert!(verify(nodes[index], index as u64, n as u64, &expected, digest(&tree["root"])), "n {n}");
    }
}

#[test]
fn in_every_ragged_tree_each_path_proves_its_own_place_only() {
    for n in 1..70 {
        let nodes = leaves(n);
        let top = root(&nodes);
        for index in 0..n {
            let path = path(&nodes, index);
            for claimed in 0..n + 2 {
                let proved = verify(nodes[index], claimed as u64, n as u64, &path, top);
                assert_eq!(proved, claimed == index, "{index} as {claimed} of {n}");
            }
            assert!(!verify(leaf_hash(b"another"), index as u64, n as u64, &path, top), "{index} of {n}");
            let longer = [path.clone(), vec![top]].concat();
            assert!(!verify(nodes[index], index as u64, n as u64, &longer, top), "{index} of {n}");
            if let Some((_, shorter)) = path.split_last() {
                assert!(!verify(nodes[index], index as u64, n as u64, shorter, top), "{index} of {n}");
            }
        }
    }
}

#[test]
fn what_is_not_there_has_no_path_and_long_records_hash_like_short_ones() {
    assert_eq!(path(&leaves(3), 3), []);
    assert!(!verify(leaf_hash(b""), 0, 0, &[], Digest::of(b"")));
    for length in [0, 1, ON_STACK - 1, ON_STACK, ON_STACK + 1, 9000] {
        let record = vec![7; length];
        assert_eq!(leaf_hash(&record), Digest::of(&[&[0], record.as_slice()].concat()), "{length}");
    }
}

proptest! {
    #[test]
    fn every_root_is_that_of_the_definition(count in 0usize..300, bits in 0u32..6) {
        let nodes = leaves(count);
        prop_assert_eq!(root(&nodes), naive_root(&nodes));
        let roots: Vec<Digest> = nodes.chunks(1 << bits).map(naive_root).collect();
        prop_assert_eq!(naive_root(&roots), naive_root(&nodes));
    }

    #[test]
    fn no_path_and_no_place_makes_verify_panic(
        index: u64, count: u64, path in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let path: Vec<Digest> = path.into_iter().map(Digest).collect();
        prop_assert!(!verify(Digest::of(b"a"), index, count, &path, Digest::of(b"b")));
    }
}
