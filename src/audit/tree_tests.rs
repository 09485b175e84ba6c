//! The tree against a naive reading of RFC 6962, section 2.1, and against the reference data of Certificate
//! Transparency (`merkletree/merkle_tree_test`: eight leaves, the same in Trillian, Go's tlog and others).

use super::*;

/// MTH of RFC 6962, section 2.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// PATH of RFC 6962, section 2.1.1.
fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(k);
    let (mut path, other) = if index < k {
        (naive_path(index, left), naive_root(right))
    } else {
        (naive_path(index - k, right), naive_root(left))
    };
    path.push(other);
    path
}

/// SUBPROOF of RFC 6962, section 2.1.2.
fn naive_subproof(old: usize, leaves: &[Hash], is_known: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if is_known { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(k);
    let (mut proof, other) = if old <= k {
        (naive_subproof(old, left, is_known), naive_root(right))
    } else {
        (naive_subproof(old - k, right, false), naive_root(left))
    };
    proof.push(other);
    proof
}

fn leaves(count: u32) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

#[test]
fn the_reference_roots_come_out() {
    let inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
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
    let mut edge = Edge::default();
    assert_eq!(hex::encode(edge.root()), roots[0]);
    for (input, root) in inputs.iter().zip(&roots[1..]) {
        edge.append(leaf_hash(&hex::decode(input).unwrap()));
        assert_eq!(hex::encode(edge.root()), *root, "after {} leaves", edge.size());
    }
}

#[test]
fn every_size_up_to_600_has_the_root_of_the_definition() {
    let leaves = leaves(600);
    let mut edge = Edge::default();
    for size in 0..leaves.len() {
        assert_eq!(edge.root(), naive_root(&leaves[..size]), "size {size}");
        assert_eq!(Edge::from_bytes(size as u64, &edge.to_bytes()).as_ref(), Some(&edge));
        assert_eq!(Edge::from_bytes(size as u64 ^ 1, &edge.to_bytes()), None);
        edge.append(leaves[size]);
    }
}

#[test]
fn inclusion_is_proven_for_every_leaf_and_for_no_other() {
    let leaves = leaves(600);
    for size in (1..40).chain([63, 64, 65, 127, 255, 256, 257, 511, 512, 513, 600]) {
        let root = naive_root(&leaves[..size]);
        for index in (0..size).step_by(1 + size / 40) {
            let proof = inclusion_proof(&leaves[..size], index as u64, size as u64).unwrap();
            assert_eq!(proof, naive_path(index, &leaves[..size]), "{index} of {size}");
            let holds = |index: u64, leaf, proof: &[Hash]| includes(&root, size as u64, index, leaf, proof);
            assert!(holds(index as u64, leaves[index], &proof), "{index} of {size}");
            assert!(!holds(index as u64, leaves[(index + 1) % 600], &proof));
            assert!(size == 1 || !holds((index as u64 + 1) % size as u64, leaves[index], &proof));
            assert!(!holds(index as u64, leaves[index], &[proof.as_slice(), &[root]].concat()));
            assert!(proof.is_empty() || !holds(index as u64, leaves[index], &proof[1..]));
        }
        assert_eq!(inclusion_proof(&leaves[..size], size as u64, size as u64), None);
    }
}

#[test]
fn consistency_is_proven_for_every_prefix_and_for_no_other_tree() {
    let leaves = leaves(600);
    for new in (1..36).chain([64, 65, 127, 255, 256, 257, 512, 600]) {
        let new_root = naive_root(&leaves[..new]);
        for old in (1..=new).step_by(1 + new / 36) {
            let old_root = naive_root(&leaves[..old]);
            let proof = consistency_proof(&leaves[..new], old as u64, new as u64).unwrap();
            assert_eq!(proof, naive_subproof(old, &leaves[..new], true), "{old} in {new}");
            assert!(continues(&old_root, old as u64, &new_root, new as u64, &proof), "{old} in {new}");
            let other = leaf_hash(b"another");
            assert!(!continues(&other, old as u64, &new_root, new as u64, &proof), "{old} in {new}");
            assert!(!continues(&old_root, old as u64, &other, new as u64, &proof), "{old} in {new}");
            assert!(!continues(&old_root, old as u64, &new_root, new as u64, &[proof.as_slice(), &[other]].concat()));
        }
        assert!(continues(&empty_root(), 0, &new_root, new as u64, &[]));
    }
}
