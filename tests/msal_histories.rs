//! Histories of several servers on one MSAL document, as random as they come: what is left is what it would be if
//! everything had happened one after the other.

#[path = "support/msal.rs"]
mod msal;

use msal::{Answer, Library, empty, overlap, save, section, sign_out};
use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};
use tokencache::msal::{Side, merge};

/// How many; all of them in the long form.
fn histories() -> u32 {
    if std::env::var_os("TOKENCACHE_TEST_LONG").is_some() { 10_000 } else { 1_500 }
}

const ACCOUNTS: [&str; 2] = ["alice.home", "bob.home"];
const CLIENTS: [&str; 2] = ["c1", "c2"];
const REALMS: [&str; 2] = ["home", "guest"];
const SCOPES: [&str; 6] = [
    "orders/read",
    "orders/read orders/write",
    "orders/write",
    "stock/read",
    "billing/read stock/read",
    "mail/send",
];

/// What one server does between its load and its save.
#[derive(Clone, Debug)]
enum Change {
    Acquire {
        account: usize,
        client: usize,
        realm: usize,
        scopes: usize,
        rotates: bool,
    },
    SignOut {
        account: usize,
    },
    /// Lets go of the oldest access token that it sees, if that is not the newest too.
    Forget {
        account: usize,
    },
    /// Adds a node that MSAL does not know.
    Note,
}

/// Servers whose work overlaps: each loads what there was before any of them saved, or some time before that.
#[derive(Clone, Debug)]
struct Round {
    changes: Vec<Change>,
    /// How many versions before the newest each has loaded.
    staleness: Vec<usize>,
    /// In which order they save.
    order: Vec<usize>,
}

fn change() -> impl Strategy<Value = Change> {
    let acquire = (0..2_usize, 0..2_usize, 0..2_usize, 0..SCOPES.len(), any::<bool>()).prop_map(
        |(account, client, realm, scopes, rotates)| Change::Acquire {
            account,
            client,
            realm,
            scopes,
            rotates,
        },
    );
    prop_oneof![
        6 => acquire,
        1 => (0..2_usize).prop_map(|account| Change::SignOut { account }),
        1 => (0..2_usize).prop_map(|account| Change::Forget { account }),
        1 => Just(Change::Note),
    ]
}

fn round() -> impl Strategy<Value = Round> {
    (1..=4_usize).prop_flat_map(|servers| {
        let changes = prop::collection::vec(change(), servers);
        let staleness = prop::collection::vec(prop_oneof![4 => Just(0_usize), 1 => 1..6_usize], servers);
        (changes, staleness, Just((0..servers).collect::<Vec<_>>()).prop_shuffle())
            .prop_map(|(changes, staleness, order)| Round { changes, staleness, order })
    })
}

fn library() -> impl Strategy<Value = Library> {
    prop_oneof![Just(Library::DotNet), Just(Library::Python)]
}

/// A document has no room for the time of a removal. Two cases cannot be told from others by it, and the order of the
/// saves is then that of the changes: a write from before a sign-out that is saved when somebody has signed in again,
/// and one from after a sign-out, perhaps an earlier one that it never saw, when others have written about somebody else
/// meanwhile.
fn can_be_told(round: &Round) -> bool {
    let saved = |server: usize| round.order.iter().position(|other| *other == server).expect("it saves");
    let whose = |change: &Change| match *change {
        Change::Acquire { account, .. } | Change::SignOut { account } | Change::Forget { account } => {
            Some(account)
        }
        Change::Note => None,
    };
    let all = || 0..round.changes.len();
    all().filter(|out| matches!(round.changes[*out], Change::SignOut { .. })).all(|out| {
        let is_of =
            |server: &usize| *server != out && whose(&round.changes[*server]) == whose(&round.changes[out]);
        let before_it = all().filter(is_of).filter(|server| *server < out);
        let after_it = || all().filter(is_of).filter(|server| *server > out);
        let is_late = |older: usize| after_it().any(|newer| saved(older) > saved(out).max(saved(newer)));
        let is_overtaken = |newer: usize| {
            saved(newer) > saved(out) && all().any(|other| other > newer && saved(other) < saved(newer))
        };
        !before_it.into_iter().any(is_late) && !after_it().any(is_overtaken)
    })
}

/// Whether three tokens overlap in a chain, the oldest with the next and that with the newest alone. When the one in the
/// middle has gone for the newest before the oldest is saved, nobody knows any more that it had taken the place of that one,
/// and both the others stay. They do not overlap, so MSAL answers from either.
fn has_a_chain(round: &Round) -> bool {
    let tokens: Vec<_> = round
        .changes
        .iter()
        .filter_map(|change| match *change {
            Change::Acquire { account, client, realm, scopes, .. } => {
                Some(((account, client, realm), SCOPES[scopes]))
            }
            _ => None,
        })
        .collect();
    let meet = |one: usize, other: usize| {
        tokens[one].0 == tokens[other].0 && overlap(tokens[one].1, tokens[other].1)
    };
    (0..tokens.len()).any(|newest| {
        (0..newest).any(|middle| {
            meet(middle, newest) && (0..middle).any(|oldest| meet(oldest, middle) && !meet(oldest, newest))
        })
    })
}

fn apply(document: &mut Value, change: &Change, library: Library, at: i64, forgotten: Option<&str>) {
    match *change {
        Change::Acquire { account, client, realm, scopes, rotates } => save(
            document,
            library,
            &Answer {
                account: ACCOUNTS[account],
                client: CLIENTS[client],
                realm: REALMS[realm],
                scopes: SCOPES[scopes],
                at,
                rotates,
            },
        ),
        Change::SignOut { account } => sign_out(document, ACCOUNTS[account]),
        Change::Forget { .. } => {
            section(document, "AccessToken").retain(|_, token| token["secret"].as_str() != forgotten);
        }
        Change::Note => {
            document[format!("Note{at}")] = json!({ "written": at, "by": ["somebody", { "else": null }] });
        }
    }
}

/// The secret of the oldest access token of `account`, if there is a newer one of the same client and tenant.
fn oldest(document: &Value, account: usize) -> Option<String> {
    let mut tokens: Vec<_> = document["AccessToken"].as_object()?.values().collect();
    tokens.retain(|token| token["home_account_id"] == ACCOUNTS[account]);
    tokens.sort_by_key(|token| token["cached_at"].to_string());
    let first = *tokens.first()?;
    let newer = tokens[1..]
        .iter()
        .any(|token| token["client_id"] == first["client_id"] && token["realm"] == first["realm"]);
    newer.then(|| first["secret"].as_str().expect("a secret").to_owned())
}

struct Versions(Vec<(Vec<u8>, i64)>);

/// In which order the servers of a round save.
#[derive(Clone, Copy, PartialEq)]
enum Saves {
    /// As they come, where the order of the changes can be told from what they save; else in that order.
    AsCanBeTold,
    /// As they come.
    AsTheyCome,
}

/// Runs a history both ways: merged, and one after the other.
fn run(rounds: &[Round], library: Library, saves: Saves) -> (Value, Value) {
    let mut sequential = empty();
    let mut stored = Versions(vec![(library.serialise(&sequential), 0)]);
    let mut at = 1_800_000_000;
    for round in rounds {
        let newest = stored.0.len() - 1;
        let mut made = Vec::new();
        for (change, staleness) in round.changes.iter().zip(&round.staleness) {
            at += 10;
            // Who has never seen the account that another signs out cannot learn of it.
            let is_in_touch = round.changes.iter().any(|change| matches!(change, Change::SignOut { .. }));
            let staleness = if is_in_touch { 0 } else { *staleness };
            let base = stored.0[newest.saturating_sub(staleness)].0.clone();
            let mut document: Value = serde_json::from_slice(&base).expect("JSON");
            let mut change = change.clone();
            let mut forgotten = None;
            match change {
                // Whom it does not see it cannot sign out.
                Change::SignOut { account } if !is_signed_in(&document, account) => change = Change::Note,
                Change::Forget { account } => forgotten = oldest(&document, account),
                _ => {}
            }
            apply(&mut document, &change, library, at, forgotten.as_deref());
            apply(&mut sequential, &change, library, at, forgotten.as_deref());
            made.push((base, library.serialise(&document), at));
        }
        let in_time: Vec<_> = (0..made.len()).collect();
        let is_stale = round.staleness.iter().any(|staleness| *staleness != 0);
        let is_told = can_be_told(round) && !has_a_chain(round);
        let is_free = saves == Saves::AsTheyCome || (is_told && !is_stale);
        let order = if is_free { &round.order } else { &in_time };
        for server in order {
            let (base, mine, at) = &made[*server];
            let (theirs, theirs_at) = stored.0.last().expect("a version");
            let sides = [Side::written(mine, at * 1000), Side::written(theirs, theirs_at * 1000)];
            let merged = merge(Some(base), sides[0], sides[1]).expect("documents").expect("memory");
            checked(base, mine, theirs, (*at * 1000, theirs_at * 1000), &merged.bytes);
            stored.0.push((merged.bytes.to_vec(), *at.max(theirs_at)));
        }
    }
    let (last, _) = stored.0.pop().expect("a version");
    (serde_json::from_slice(&last).expect("JSON"), sequential)
}

fn is_signed_in(document: &Value, account: usize) -> bool {
    let accounts = document["Account"].as_object().expect("a section");
    accounts.values().any(|item| item["home_account_id"] == ACCOUNTS[account])
}

/// Whether two access tokens lie side by side on which MSAL throws.
fn has_an_overlap(document: &Value) -> bool {
    let tokens: Vec<_> = document["AccessToken"].as_object().expect("a section").values().collect();
    let meet = |one: &Value, other: &Value| {
        let text = |token: &Value| token["target"].as_str().expect("a target").to_owned();
        let is_near = ["home_account_id", "client_id", "realm"].iter().all(|name| one[name] == other[name]);
        is_near && overlap(&text(one), &text(other))
    };
    (0..tokens.len()).any(|one| (0..one).any(|other| meet(tokens[one], tokens[other])))
}

/// What holds for each merge: nothing is invented, nothing lies there that MSAL throws on, the order of the two does not
/// matter, and once is enough.
fn checked(base: &[u8], mine: &[u8], theirs: &[u8], (mine_ms, theirs_ms): (i64, i64), merged: &[u8]) {
    let read = |bytes: &[u8]| -> Value { serde_json::from_slice(bytes).expect("JSON") };
    let [ours, others, both] = [mine, theirs, merged].map(read);
    assert!(!has_an_overlap(&both), "MSAL would throw");
    for (name, section) in both.as_object().expect("an object") {
        for (key, item) in section.as_object().expect("a section") {
            assert!(ours[name][key] == *item || others[name][key] == *item, "{name} {key} was invented");
        }
    }
    let swapped = merge(Some(base), Side::written(theirs, theirs_ms), Side::written(mine, mine_ms));
    assert_eq!(read(&swapped.expect("documents").expect("memory").bytes), both, "the order matters");
    let (later, now_ms) = (Side::written(mine, mine_ms), mine_ms.max(theirs_ms));
    let again = merge(Some(base), later, Side::written(merged, now_ms));
    assert_eq!(read(&again.expect("documents").expect("memory").bytes), both, "once is not enough");
    let same = merge(Some(merged), Side::written(merged, now_ms), Side::written(merged, now_ms));
    assert_eq!(*same.expect("documents").expect("memory").bytes, *merged, "the same is not left alone");
}

proptest! {
    #![proptest_config(Config { cases: histories(), failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_history_ends_as_if_everything_had_happened_in_turn(
        rounds in prop::collection::vec(round(), 1..5),
        library in library(),
    ) {
        let (merged, sequential) = run(&rounds, library, Saves::AsCanBeTold);
        prop_assert_eq!(merged, sequential);
    }

    #[test]
    fn whatever_order_they_save_in_msal_can_read_what_is_left(
        rounds in prop::collection::vec(round(), 1..5),
        library in library(),
    ) {
        run(&rounds, library, Saves::AsTheyCome);
    }
}
