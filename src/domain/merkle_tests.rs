//! Promise: the trees are RFC 6962's, chunk by chunk, and a path proves its record and no other.

use ct_merkle::{InclusionProof, RootHash, mem_backed_tree::MemoryBackedTree};
use proptest::prelude::*;
use serde_json::Value;
use sha2::Sha256;

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

/// The tree as another hand wrote it, over another SHA-256.
fn independent(records: &[Vec<u8>]) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    records.iter().for_each(|record| tree.push(record.clone()));
    tree
}

/// A batch's proof as the issuer makes it: the path in the chunk, then the path of the chunk.
fn proof_by_chunks(nodes: &[Digest], size: usize, index: usize) -> Vec<Digest> {
    let chunks: Vec<&[Digest]> = nodes.chunks(size).collect();
    let roots: Vec<Digest> = chunks.iter().map(|chunk| root(chunk)).collect();
    [path(chunks[index / size], index % size), path(&roots, index / size)].concat()
}

fn any_records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..200)
}

proptest! {
    #[test]
    fn another_implementation_has_the_same_roots_and_paths_whatever_the_size_of_a_chunk(
        records in any_records(), bits in 0u32..9, at: prop::sample::Index,
    ) {
        let theirs = independent(&records);
        let nodes: Vec<Digest> = records.iter().map(|record| leaf_hash(record)).collect();
        let top = root(&nodes);
        let their_top = theirs.root();
        prop_assert_eq!(&top.0[..], &their_top.as_bytes()[..]);
        let roots: Vec<Digest> = nodes.chunks(1 << bits).map(root).collect();
        prop_assert_eq!(root(&roots), top);
        if records.is_empty() {
            return Ok(());
        }
        let index = at.index(records.len());
        let ours = proof_by_chunks(&nodes, 1 << bits, index);
        let bytes: Vec<u8> = ours.iter().flat_map(|digest| digest.0).collect();
        let their_proof = theirs.prove_inclusion(index);
        prop_assert_eq!(their_proof.as_bytes(), bytes.as_slice());
        let count = nodes.len() as u64;
        let believed = RootHash::<Sha256>::new(top.0.into(), count);
        let proof = InclusionProof::from_bytes(bytes);
        prop_assert!(believed.verify_inclusion(&records[index], index as u64, &proof).is_ok());
        prop_assert!(verify(nodes[index], index as u64, count, &ours, top));
    }

    #[test]
    fn with_any_bit_changed_a_proof_proves_nothing(
        records in any_records(), bits in 0u32..9, at: prop::sample::Index, bit: prop::sample::Index,
    ) {
        prop_assume!(!records.is_empty());
        let nodes: Vec<Digest> = records.iter().map(|record| leaf_hash(record)).collect();
        let (top, count, index) = (root(&nodes), nodes.len() as u64, at.index(nodes.len()));
        let path = proof_by_chunks(&nodes, 1 << bits, index);
        // Record, path and root one behind the other, and one bit of all that is another.
        let record = &records[index];
        let mut all = record.clone();
        path.iter().chain([&top]).for_each(|digest| all.extend_from_slice(&digest.0));
        let flipped = bit.index(all.len() * 8);
        all[flipped / 8] ^= 1 << (flipped % 8);
        let (changed, digests) = all.split_at(record.len());
        let digests = digests.chunks(32).map(|bytes| Digest::from_slice(bytes).expect("32 bytes"));
        let mut digests: Vec<Digest> = digests.collect();
        let changed_top = digests.pop().expect("the root");
        let proved = verify(leaf_hash(changed), index as u64, count, &digests, changed_top);
        prop_assert!(!proved, "bit {flipped}");
        let elsewhere = index as u64 ^ (1 << bit.index(64));
        prop_assert!(!verify(nodes[index], elsewhere, count, &path, top), "as {elsewhere}");
    }
}
