//! Roots, proofs and notes before judges that are not ours: `ct-merkle` (RFC 6962) and `signed_note` (C2SP).

use crate::support::{MemoryLog, ambient, key, run};
use certctl_audit_log::{
    Frontier, Hash, NoteError, NoteKey, PartialTree, SealSettings, SignedNote, TrustedKeys, VerifierKey,
    check_consistency, check_inclusion, consistency_proof, inclusion_proof, root_at, seal, subtree_roots, subtrees,
    tile, tile_path,
};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;

type Judge = MemoryBackedTree<Sha256, Vec<u8>>;

fn judge(log: &MemoryLog, size: usize) -> Judge {
    let mut tree = Judge::new();
    for entry in &log.entries()[..size] {
        tree.push(entry.clone());
    }
    tree
}

fn filled(count: usize) -> MemoryLog {
    let mut log = MemoryLog::default();
    // Batches of uneven sizes, so that they end inside tiles and at their edges.
    for (round, chunk) in (0..count).collect::<Vec<_>>().chunks(101).enumerate() {
        for event in chunk {
            log.record(&format!("audit-{event}"));
        }
        let settings = SealSettings { batch: [7, 256, 64][round % 3], ..SealSettings::default() };
        while run(seal(&mut log, &ambient(), &key(), &settings, None)).expect("seals").more {}
    }
    log
}

fn hashes(octets: &[u8]) -> Vec<Hash> {
    octets.as_chunks::<32>().0.iter().map(|hash| Hash(*hash)).collect()
}

#[test]
fn roots_and_proofs_agree_with_an_independent_implementation() {
    let mut log = filled(700);
    for size in [1_usize, 2, 3, 255, 256, 257, 511, 512, 513, 699, 700] {
        let root = run(root_at(&mut log, size as u64)).expect("a root");
        let tree = judge(&log, size);
        assert_eq!(root.0, <[u8; 32]>::from(*tree.root().as_bytes()), "root of {size}");
        for seq in [0, size / 3, size / 2, size - 1] {
            let proof = run(inclusion_proof(&mut log, size as u64, seq as u64)).expect("a proof");
            assert_eq!(proof, hashes(tree.prove_inclusion(seq).as_bytes()), "leaf {seq} in {size}");
            assert!(check_inclusion(&proof, size as u64, root, seq as u64, log.leaf(seq)));
            assert!(!check_inclusion(&proof, size as u64, root, seq as u64, Hash([7; 32])));
        }
        for from in [1, size / 3, size / 2, size - 1].into_iter().filter(|from| *from > 0) {
            let proof = run(consistency_proof(&mut log, size as u64, from as u64)).expect("a proof");
            assert_eq!(proof, hashes(tree.prove_consistency(size - from).as_bytes()), "{from} in {size}");
            let old = run(root_at(&mut log, from as u64)).expect("a root");
            assert!(check_consistency(&proof, size as u64, root, from as u64, old));
            assert!(from == size || !check_consistency(&proof, size as u64, root, from as u64, Hash([7; 32])));
        }
    }
}

#[test]
fn tiles_hold_what_the_tree_is_made_of() {
    let mut log = filled(600);
    let leaves: Vec<u8> = (0..600).flat_map(|seq| log.leaf(seq).0).collect();
    assert_eq!(run(tile(&mut log, 0, 0, 256)).expect("a full tile"), leaves[..256 * 32]);
    assert_eq!(run(tile(&mut log, 0, 2, 88)).expect("a partial tile"), leaves[512 * 32..]);
    let above = run(tile(&mut log, 1, 0, 2)).expect("a tile of the level above");
    assert_eq!(above[..32], *judge(&log, 256).root().as_bytes().as_slice());
    for (level, index, width) in
        [(0, 2, 89), (0, 3, 1), (1, 0, 3), (2, 0, 1), (0, 0, 0), (0, 0, 257), (63, u64::MAX, 1)]
    {
        run(tile(&mut log, level, index, width)).expect_err("not in the tree");
    }
}

#[test]
fn tile_paths_are_those_of_the_standard() {
    assert_eq!(tile_path("0/067"), Some((0, 67, 256)));
    assert_eq!(tile_path("1/x001/x234/067.p/8"), Some((1, 1_234_067, 8)));
    for bad in [
        "",
        "0",
        "0/",
        "0/67",
        "0/067.p/0",
        "0/067.p/00",
        "0/067.p/+0",
        "1/7.p/00",
        "0/067.p/256",
        "0/067.p/x",
        "8/000",
        "64/000",
        "data/000",
        "0/x000/001",
    ] {
        assert_eq!(tile_path(bad), None, "{bad}");
    }
}

#[test]
fn notes_are_those_of_the_standard() {
    let key = key();
    let note = key.sign(3, Hash([9; 32]), ambient().now()).expect("signed");
    let known = signed_note::VerifierList::new(vec![Box::new(
        signed_note::StandardVerifier::new(&key.verifier().to_string()).expect("a standard key"),
    )]);
    let read = signed_note::Note::from_bytes(note.as_bytes()).expect("a standard note");
    let (verified, unverified) = read.verify(&known).expect("a valid signature");
    assert_eq!((verified.len(), unverified.len()), (1, 0));
    let theirs = "example.com/log+d9f6ef70+AWX+KIK4DKlXGpnkHoBAZBI6bnT+S/2HBLNkKzbiDtUF";
    match VerifierKey::parse(theirs) {
        Ok(parsed) => assert_eq!(parsed.to_string(), theirs),
        // The hash in the text is not that of the key: the standard's reader refuses it as well.
        Err(_) => assert!(signed_note::StandardVerifier::new(theirs).is_err()),
    }
}

#[test]
fn a_note_is_believed_only_with_the_signature_of_a_trusted_key() {
    let (key, other) = (key(), crate::support::key_named("certctl-audit/other", 2));
    let note = key.sign(3, Hash([9; 32]), ambient().now()).expect("signed");
    let trusted = TrustedKeys(vec![key.verifier().clone()]);
    let opened = trusted.open(&note).expect("believed");
    assert_eq!((opened.size, opened.root, opened.origin.as_str()), (3, Hash([9; 32]), key.origin()));
    assert!(TrustedKeys(vec![other.verifier().clone()]).open(&note).is_err());
    assert!(TrustedKeys::default().open(&note).is_err());
    let forged = note.replace("\n3\n", "\n4\n");
    assert_eq!(
        SignedNote::parse(&forged).expect("the form is kept").verify([key.verifier()]),
        Err(NoteError::BadSignature)
    );
    // A trusted key that signs for another log says nothing about its own.
    let stranger = NoteKey::new("certctl-audit/test", crate::support::signing_key(1)).expect("a key");
    let foreign = stranger.sign("elsewhere\n3\nCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=\n").expect("signed");
    assert!(trusted.open(&foreign).is_err());
}

proptest! {
    #[test]
    fn a_run_between_known_subtrees_gives_the_root_and_the_proofs_of_the_whole(
        size in 1_u64..600, a in 0_u64..600, b in 0_u64..600,
    ) {
        thread_local!(static LOG: std::cell::RefCell<MemoryLog> = std::cell::RefCell::new(filled(600)));
        let (from, until) = (a.min(b).min(size), a.max(b).min(size));
        LOG.with_borrow_mut(|log| {
            let left = run(subtree_roots(log, 0, from)).expect("roots");
            let right = run(subtree_roots(log, until, size)).expect("roots");
            let mut tree = PartialTree::after(Frontier::new(from, &left).expect("one root a bit"));
            for seq in from..until {
                tree.append(0, log.leaf(usize::try_from(seq).expect("small")));
            }
            for (level, root) in subtrees(until, size).into_iter().zip(right) {
                tree.append(level, root);
            }
            assert_eq!(tree.size(), size);
            assert_eq!(tree.root(), run(root_at(log, size)).expect("a root"));
            for seq in [from, until.saturating_sub(1)].into_iter().filter(|seq| (from..until).contains(seq)) {
                let proof = run(inclusion_proof(log, size, seq)).expect("a proof");
                assert_eq!(tree.inclusion_proof(seq), Some(proof));
            }
        });
    }

    #[test]
    fn no_text_is_taken_for_a_note_or_key_by_accident(text in any::<String>(), cut in 0_usize..400, with in any::<char>()) {
        let trusted = TrustedKeys(vec![key().verifier().clone()]);
        prop_assert!(trusted.open(&text).is_err());
        prop_assert!(VerifierKey::parse(&text).is_err());
        let mut note: Vec<char> = key().sign(3, Hash([9; 32]), ambient().now()).expect("signed").chars().collect();
        let place = cut % note.len();
        if note[place] != with {
            note[place] = with;
            prop_assert!(trusted.open(&note.into_iter().collect::<String>()).is_err());
        }
    }

    #[test]
    fn any_text_is_a_tile_path_or_is_refused(text in "[0-9xp./a-]{0,24}", any in any::<String>()) {
        for path in [text, any] {
            if let Some((level, index, width)) = tile_path(&path) {
                prop_assert!(level < 8 && (1..=256).contains(&width) && path.starts_with(&format!("{level}/")), "{index}");
            }
        }
    }

    #[test]
    fn no_proof_of_chance_passes(
        octets in proptest::collection::vec(any::<[u8; 32]>(), 0..70), size in any::<u64>(), seq in any::<u64>(),
    ) {
        let proof: Vec<Hash> = octets.into_iter().map(Hash).collect();
        prop_assert!(!check_inclusion(&proof, size, Hash([1; 32]), seq, Hash([2; 32])));
        prop_assert!(size == seq || !check_consistency(&proof, size, Hash([1; 32]), seq, Hash([2; 32])));
    }
}
