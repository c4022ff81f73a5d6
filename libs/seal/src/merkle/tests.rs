use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A tree with its stored nodes, and the tree's definition to compare with.
struct Stored {
    leaves: Vec<Hash>,
    nodes: HashMap<NodeId, Hash>,
    frontier: Frontier,
}

impl Stored {
    fn new(data: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let mut frontier = Frontier::new();
        let mut completed = Vec::new();
        let leaves: Vec<_> = data.into_iter().map(|d| leaf_hash(d.as_ref())).collect();
        for &leaf in &leaves {
            frontier.push(leaf, &mut completed);
        }
        let count = completed.len();
        let nodes: HashMap<_, _> = completed.into_iter().collect();
        assert_eq!(nodes.len(), count, "no node is completed twice");
        Self { leaves, nodes, frontier }
    }

    /// Leaves that all differ.
    fn of_size(size: u64) -> Self {
        Self::new((0..size).map(u64::to_be_bytes))
    }

    fn root_at(&self, size: u64) -> Hash {
        definition(&self.leaves[..size as usize])
    }

    fn inclusion(&self, index: u64, size: u64) -> Vec<Hash> {
        let plan = InclusionPlan::new(index, size).unwrap();
        plan.assemble(|node| self.load(plan.nodes(), node)).unwrap()
    }

    fn consistency(&self, old: u64, new: u64) -> Vec<Hash> {
        let plan = ConsistencyPlan::new(old, new).unwrap();
        plan.assemble(|node| self.load(plan.nodes(), node)).unwrap()
    }

    fn load(&self, named: &[NodeId], node: NodeId) -> Option<Hash> {
        assert!(named.contains(&node), "only nodes that were named are loaded");
        self.nodes.get(&node).copied()
    }
}

/// The Merkle tree hash as RFC 6962 §2.1 defines it.
fn definition(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&definition(left), &definition(right))
        }
    }
}

fn hash(hex: &str) -> Hash {
    hex::decode(hex).unwrap().try_into().unwrap()
}

/// The test tree of the Certificate Transparency project.
const PUBLISHED_LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const PUBLISHED_ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn published_tree() -> Stored {
    Stored::new(PUBLISHED_LEAVES.map(|leaf| hex::decode(leaf).unwrap()))
}

#[test]
fn the_published_roots_are_ours() {
    let leaves = published_tree().leaves;
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root(), hash(PUBLISHED_ROOTS[0]));
    for (leaf, root) in leaves.into_iter().zip(&PUBLISHED_ROOTS[1..]) {
        frontier.push(leaf, &mut Vec::new());
        assert_eq!(frontier.root(), hash(root), "size {}", frontier.size());
    }
}

#[test]
fn the_published_audit_paths_are_ours_and_verify() {
    let tree = published_tree();
    let paths: [(u64, u64, &[&str]); 5] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
        (
            1,
            5,
            &[
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (index, size, path) in paths {
        let path: Vec<_> = path.iter().map(|node| hash(node)).collect();
        assert_eq!(tree.inclusion(index, size), path, "leaf {index} of {size}");
        let root = hash(PUBLISHED_ROOTS[size as usize]);
        let leaf = tree.leaves[index as usize];
        assert_eq!(verify_inclusion(&leaf, index, size, &path, &root), Ok(()));
    }
}

#[test]
fn the_published_consistency_proofs_are_ours_and_verify() {
    let tree = published_tree();
    let proofs: [(u64, u64, &[&str]); 5] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
        (
            6,
            7,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
    ];
    for (old, new, proof) in proofs {
        let proof: Vec<_> = proof.iter().map(|node| hash(node)).collect();
        assert_eq!(tree.consistency(old, new), proof, "{old} to {new}");
        let old_root = hash(PUBLISHED_ROOTS[old as usize]);
        let new_root = hash(PUBLISHED_ROOTS[new as usize]);
        assert_eq!(verify_consistency(old, &old_root, new, &new_root, &proof), Ok(()));
    }
}

#[test]
fn every_proof_of_every_small_tree_verifies_against_its_own_tree_only() {
    const LARGEST: u64 = 20;
    let tree = Stored::of_size(LARGEST);
    let roots: Vec<_> = (0..=LARGEST).map(|size| tree.root_at(size)).collect();
    let root = |size: u64| &roots[size as usize];
    for size in 1..=LARGEST {
        for index in 0..size {
            let leaf = tree.leaves[index as usize];
            let proof = tree.inclusion(index, size);
            for (other_index, other_size) in (0..=LARGEST).flat_map(|i| (0..=LARGEST).map(move |s| (i, s))) {
                let verified = verify_inclusion(&leaf, other_index, other_size, &proof, root(other_size));
                assert_eq!(
                    verified.is_ok(),
                    (other_index, other_size) == (index, size),
                    "proof of leaf {index} of {size} as {other_index} of {other_size}"
                );
            }
        }
        for old in 1..size {
            let proof = tree.consistency(old, size);
            for (other_old, other_size) in (1..=LARGEST).flat_map(|o| (o + 1..=LARGEST).map(move |s| (o, s))) {
                let verified = verify_consistency(other_old, root(other_old), other_size, root(other_size), &proof);
                assert_eq!(
                    verified.is_ok(),
                    (other_old, other_size) == (old, size),
                    "proof of {old} to {size} as {other_old} to {other_size}"
                );
            }
        }
    }
}

#[test]
fn every_tree_continues_itself_and_the_empty_tree() {
    let tree = Stored::of_size(5);
    let (root, other) = (tree.root_at(5), tree.root_at(4));
    let stray = [other];
    assert_eq!(ConsistencyPlan::new(0, 5).unwrap().nodes(), []);
    assert_eq!(ConsistencyPlan::new(5, 5).unwrap().nodes(), []);
    assert_eq!(verify_consistency(5, &root, 5, &root, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &empty_root(), 5, &root, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &empty_root(), 0, &empty_root(), &[]), Ok(()));
    assert_eq!(verify_consistency(5, &root, 5, &other, &[]), Err(ProofError::NewRootMismatch));
    assert_eq!(verify_consistency(0, &root, 5, &root, &[]), Err(ProofError::OldRootMismatch));
    let too_long = Err(ProofError::WrongLength { expected: 0, found: 1 });
    assert_eq!(verify_consistency(5, &root, 5, &root, &stray), too_long);
    assert_eq!(verify_consistency(0, &empty_root(), 5, &root, &stray), too_long);
}

#[test]
fn what_cannot_be_proven_is_named() {
    let root = empty_root();
    assert_eq!(InclusionPlan::new(3, 3), Err(TreeError::LeafBeyondTree { leaf_index: 3, tree_size: 3 }));
    assert_eq!(ConsistencyPlan::new(4, 3), Err(TreeError::SizesReversed { old_size: 4, new_size: 3 }));
    assert_eq!(InclusionPlan::new(0, u64::MAX), Err(TreeError::TooLarge(u64::MAX)));
    assert_eq!(ConsistencyPlan::new(0, u64::MAX), Err(TreeError::TooLarge(u64::MAX)));
    assert_eq!(
        verify_inclusion(&root, 3, 3, &[], &root),
        Err(ProofError::LeafBeyondTree { leaf_index: 3, tree_size: 3 })
    );
    assert_eq!(
        verify_consistency(4, &root, 3, &root, &[]),
        Err(ProofError::SizesReversed { old_size: 4, new_size: 3 })
    );
    let plan = InclusionPlan::new(0, 2).unwrap();
    assert_eq!(plan.assemble(|_| None), Err(TreeError::MissingNode(NodeId { level: 0, index: 1 })));
}

#[test]
fn a_frontier_with_too_few_or_too_many_nodes_is_refused() {
    for found in [0, 1, 3] {
        assert_eq!(
            Frontier::from_nodes(5, vec![empty_root(); found]),
            Err(TreeError::WrongNodeCount { size: 5, expected: 2, found })
        );
    }
    assert_eq!(
        Frontier::from_nodes(MAX_TREE_SIZE + 1, vec![empty_root()]),
        Err(TreeError::TooLarge(MAX_TREE_SIZE + 1))
    );
}

#[test]
fn the_largest_tree_grows_by_one_and_no_size_makes_verification_panic() {
    let mut frontier = Frontier::from_nodes(MAX_TREE_SIZE, vec![empty_root(); 63]).expect("63 set bits");
    let mut completed = Vec::new();
    frontier.push(empty_root(), &mut completed);
    assert_eq!(completed.len(), 64);
    assert_eq!(Frontier::needed(MAX_TREE_SIZE).len(), 63);

    let root = empty_root();
    for size in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) + 1] {
        for index in [0, 1, size / 2, size - 1] {
            for length in [0, 1, 62, 63, 64, 65] {
                let proof = vec![root; length];
                assert!(verify_inclusion(&root, index, size, &proof, &root).is_err());
                assert!(verify_consistency(index.max(1), &root, size, &root, &proof).is_err());
            }
        }
    }
}

proptest! {
    #[test]
    fn frontiers_agree_with_the_definition_and_survive_storage(
        size in 0..300u64,
        more in 0..50u64,
    ) {
        let grown = Stored::of_size(size + more);
        let stored = Stored::of_size(size);
        prop_assert_eq!(stored.frontier.root(), stored.root_at(size));

        let needed: Vec<_> = Frontier::needed(size).iter().map(|node| grown.nodes[node]).collect();
        prop_assert_eq!(needed.as_slice(), stored.frontier.nodes());
        let mut rebuilt = Frontier::from_nodes(size, needed).unwrap();
        for &leaf in &grown.leaves[size as usize..] {
            rebuilt.push(leaf, &mut Vec::new());
        }
        prop_assert_eq!(rebuilt, grown.frontier);
    }

    #[test]
    fn the_stored_nodes_are_the_complete_subtrees(size in 0..300u64) {
        let tree = Stored::of_size(size);
        let mut expected = 0;
        for level in 0..9u8 {
            for index in 0..size >> level {
                let (start, end) = ((index << level) as usize, ((index + 1) << level) as usize);
                prop_assert_eq!(tree.nodes[&NodeId { level, index }], definition(&tree.leaves[start..end]));
                expected += 1;
            }
        }
        prop_assert_eq!(tree.nodes.len(), expected);
    }

    #[test]
    fn inclusion_proofs_verify_and_altered_ones_do_not(
        size in 1..300u64,
        later in 0..50u64,
        index in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bit in 0..256usize,
    ) {
        // Proofs at an earlier size come from the nodes of the tree as it is now.
        let tree = Stored::of_size(size + later);
        let root = tree.root_at(size);
        let index = index.index(size as usize) as u64;
        let leaf = tree.leaves[index as usize];
        let proof = tree.inclusion(index, size);
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));

        let flip = |hash: &mut Hash| hash[bit / 8] ^= 1 << (bit % 8);
        let (mut bad_leaf, mut bad_root) = (leaf, root);
        flip(&mut bad_leaf);
        flip(&mut bad_root);
        let mismatch = Err(ProofError::RootMismatch);
        prop_assert_eq!(verify_inclusion(&bad_leaf, index, size, &proof, &root), mismatch);
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &bad_root), mismatch);
        if !proof.is_empty() {
            let at = at.index(proof.len());
            let mut bad = proof.clone();
            flip(&mut bad[at]);
            prop_assert_eq!(verify_inclusion(&leaf, index, size, &bad, &root), mismatch);
            let mut short = proof.clone();
            short.remove(at);
            prop_assert!(verify_inclusion(&leaf, index, size, &short, &root).is_err());
        }
        let mut long = proof.clone();
        long.insert(at.index(proof.len() + 1), leaf);
        prop_assert!(verify_inclusion(&leaf, index, size, &long, &root).is_err());
        for other in (0..size).filter(|&other| other != index) {
            prop_assert!(verify_inclusion(&leaf, other, size, &proof, &root).is_err());
        }
    }

    #[test]
    fn consistency_proofs_verify_and_altered_ones_do_not(
        sizes in (1..300u64, 1..50u64),
        at in any::<prop::sample::Index>(),
        bit in 0..256usize,
    ) {
        let (old, new) = (sizes.0, sizes.0 + sizes.1);
        let tree = Stored::of_size(new);
        let (old_root, new_root) = (tree.root_at(old), tree.root_at(new));
        let proof = tree.consistency(old, new);
        prop_assert_eq!(verify_consistency(old, &old_root, new, &new_root, &proof), Ok(()));

        let flip = |hash: &mut Hash| hash[bit / 8] ^= 1 << (bit % 8);
        let (mut bad_old, mut bad_new, mut bad) = (old_root, new_root, proof.clone());
        flip(&mut bad_old);
        flip(&mut bad_new);
        let at = at.index(proof.len());
        flip(&mut bad[at]);
        prop_assert!(verify_consistency(old, &bad_old, new, &new_root, &proof).is_err());
        prop_assert!(verify_consistency(old, &old_root, new, &bad_new, &proof).is_err());
        prop_assert!(verify_consistency(old, &old_root, new, &new_root, &bad).is_err());
        let (mut short, mut long) = (proof.clone(), proof);
        short.remove(at);
        long.insert(at, old_root);
        prop_assert!(verify_consistency(old, &old_root, new, &new_root, &short).is_err());
        prop_assert!(verify_consistency(old, &old_root, new, &new_root, &long).is_err());
    }

    #[test]
    fn a_rewritten_leaf_is_not_consistent(
        old in 1..200u64,
        more in 1..50u64,
        rewritten in any::<prop::sample::Index>(),
    ) {
        let honest = Stored::of_size(old);
        let new = old + more;
        let rewritten = rewritten.index(old as usize) as u64;
        let forged = Stored::new((0..new).map(|i| if i == rewritten { [0xff; 8] } else { i.to_be_bytes() }));
        let proof = forged.consistency(old, new);
        let verified =
            verify_consistency(old, &honest.root_at(old), new, &forged.root_at(new), &proof);
        // If the old tree is one complete subtree its root is what the proof climbs from, and only the new root is missed.
        prop_assert_eq!(verified, Err(if old.is_power_of_two() {
            ProofError::NewRootMismatch
        } else {
            ProofError::OldRootMismatch
        }));
    }
}
