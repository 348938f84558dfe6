//! What comes of an MSAL document of two writers: of the blobs of real MSAL.NET, and rule by rule.

#[path = "support/msal.rs"]
mod msal;

use std::fs;

use msal::{Answer, Library, empty, save, section, sign_out};
use serde_json::{Value, json};
use tokencache::msal::{Refusal, Side, check, merge, prune};

const NOW: i64 = 1_800_000_000;

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/msal/merge/{name}.json", env!("CARGO_MANIFEST_DIR"));
    fs::read(path).expect("a fixture")
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn merged_at(
    base: Option<&[u8]>,
    (mine, mine_ms): (&[u8], i64),
    (theirs, theirs_ms): (&[u8], i64),
) -> Vec<u8> {
    let merged = merge(base, Side::written(mine, mine_ms), Side::written(theirs, theirs_ms));
    merged.expect("documents").expect("memory").bytes.to_vec()
}

/// Merges both ways round, which must say the same.
fn merged(base: Option<&[u8]>, mine: &[u8], theirs: &[u8]) -> Value {
    let [one, other] = [(mine, theirs), (theirs, mine)]
        .map(|(mine, theirs)| read(&merged_at(base, (mine, NOW * 1000), (theirs, NOW * 1000))));
    assert_eq!(one, other, "the order matters");
    one
}

fn fixture(name: &str, has_base: bool) -> Value {
    let base = has_base.then(|| file(&format!("{name}.base")));
    merged(base.as_deref(), &file(&format!("{name}.a")), &file(&format!("{name}.b")))
}

fn alice(scopes: &str, at: i64) -> Answer<'_> {
    Answer { account: "alice.home", client: "c1", realm: "home", scopes, at, rotates: true }
}

/// A document with one answer of the provider after the other.
fn document(library: Library, answers: &[Answer<'_>]) -> Value {
    let mut document = empty();
    answers.iter().for_each(|answer| save(&mut document, library, answer));
    document
}

fn bytes(document: &Value) -> Vec<u8> {
    serde_json::to_vec(document).expect("JSON")
}

#[test]
fn what_msal_net_joins_rightly_is_joined_alike() {
    for (name, has_base) in [
        ("different-scopes", true),
        ("rotated-refresh-token", true),
        ("both-refreshed", true),
        ("two-aliases", false),
    ] {
        assert_eq!(fixture(name, has_base), read(&file(&format!("{name}.a-then-b"))), "{name}");
    }
}

/// MSAL.NET takes item by item what it reads last, so that half of these lose the newer token.
#[test]
fn the_order_that_loses_in_msal_net_does_not_here() {
    for name in ["rotated-refresh-token", "both-refreshed"] {
        let [right, wrong] = ["a-then-b", "b-then-a"].map(|order| read(&file(&format!("{name}.{order}"))));
        assert_ne!(right, wrong, "{name}");
        assert_eq!(fixture(name, true), right, "{name}");
    }
}

/// One server has a new ID token, the other a new refresh token: in either order MSAL.NET loses one of them.
#[test]
fn what_each_has_replaced_stays() {
    let both = fixture("other-tenant", true);
    let [a, b] = ["a-then-b", "b-then-a"].map(|order| read(&file(&format!("other-tenant.{order}"))));
    for name in ["AccessToken", "Account", "AppMetadata", "RefreshToken"] {
        assert_eq!(both[name], a[name], "{name}");
    }
    assert_eq!(both["IdToken"], b["IdToken"]);
    assert_ne!(both["IdToken"], a["IdToken"]);
    assert_ne!(both["RefreshToken"], b["RefreshToken"]);
}

/// With both of them MSAL.NET throws `multiple_matching_tokens_detected`.
#[test]
fn of_two_tokens_that_share_a_scope_the_newer_stays() {
    let both = fixture("overlapping-scopes", false);
    let union = read(&file("overlapping-scopes.a-then-b"));
    assert_eq!(union["AccessToken"].as_object().expect("a section").len(), 2);
    assert_eq!(both["AccessToken"], read(&file("overlapping-scopes.b"))["AccessToken"]);
    for name in ["RefreshToken", "Account", "AppMetadata"] {
        assert_eq!(both[name], union[name], "{name}");
    }
}

/// The one in the middle takes the oldest with it, as when all are saved in turn. Where it is gone already nobody can know of
/// it, and both the others stay: they share no scope.
#[test]
fn tokens_that_overlap_in_a_chain_go_as_far_as_it_is_seen() {
    let of = |scopes, at| bytes(&document(Library::DotNet, &[alice(scopes, at)]));
    let (oldest, newest) = (of("a b", NOW), of("c d", NOW + 20));
    let middle = of("b c", NOW + 10);
    let scopes = |document: &[u8]| -> Vec<String> {
        let read = read(document);
        let tokens = read["AccessToken"].as_object().expect("a section").values();
        let mut scopes: Vec<_> =
            tokens.map(|token| token["target"].as_str().expect("text").to_owned()).collect();
        scopes.sort();
        scopes
    };
    let joined = |one: &[u8], other: &[u8]| bytes(&merged(None, one, other));
    assert_eq!(scopes(&joined(&joined(&oldest, &middle), &newest)), ["c d"]);
    let mut side_by_side = read(&oldest);
    let more = read(&newest)["AccessToken"].clone();
    section(&mut side_by_side, "AccessToken").extend(more.as_object().expect("a section").clone());
    assert_eq!(scopes(&joined(&bytes(&side_by_side), &middle)), ["c d"]);
    assert_eq!(scopes(&joined(&joined(&newest, &middle), &oldest)), ["a b", "c d"]);
}

#[test]
fn documents_go_in_and_out_byte_for_byte() {
    for name in ["unknown-fields", "wrong-keys", "other-alias"] {
        let (before, after) = (file(&format!("{name}.in")), file(&format!("{name}.out")));
        assert_eq!(merged_at(Some(&before), (&before, 0), (&before, 0)), before, "{name}");
        assert_eq!(merged_at(Some(&before), (&before, 0), (&after, 0)), after, "{name}");
        // What is said in another order only, or under another key, is left as it lies there.
        if name == "wrong-keys" {
            continue;
        }
        assert_eq!(read(&merged_at(Some(&before), (&after, 0), (&before, 0))), read(&after), "{name}");
        assert_eq!(merged_at(None, (&after, 0), (&after, 0)), after, "{name}");
    }
}

/// MSAL for Python indents, escapes what is not ASCII, and may leave numbers where MSAL.NET writes texts.
#[test]
fn what_another_library_only_wrote_differently_is_no_change() {
    let mut document = document(Library::DotNet, &[alice("orders/read", NOW)]);
    section(&mut document, "Account").values_mut().next().expect("an account")["name"] =
        "J\u{fc}rgen \u{1f600}".into();
    let base = bytes(&document);
    let mut rewritten = document.clone();
    let token = section(&mut rewritten, "AccessToken").values_mut().next().expect("a token");
    token["cached_at"] = NOW.into();
    let rewritten = serde_json::to_string_pretty(&rewritten).expect("JSON");
    let rewritten = rewritten.replace('\u{fc}', "\\u00FC").replace('\u{1f600}', "\\uD83D\\uDE00");
    let mut refreshed = document.clone();
    save(&mut refreshed, Library::DotNet, &alice("orders/read", NOW + 5));
    save(&mut refreshed, Library::DotNet, &alice("stock/read", NOW + 5));
    let both = merged(Some(&base), rewritten.as_bytes(), &bytes(&refreshed));
    assert_eq!(both, refreshed);
    let mut gone = document;
    sign_out(&mut gone, "alice.home");
    assert_eq!(merged(Some(&base), rewritten.as_bytes(), &bytes(&gone)), gone);
}

#[test]
fn what_was_removed_stays_away_and_what_came_later_stays() {
    let base = bytes(&document(Library::DotNet, &[alice("orders/read", NOW)]));
    let mut out = read(&base);
    sign_out(&mut out, "alice.home");
    let out = bytes(&out);
    let removed_ms = (NOW + 10) * 1000;
    for (at, stays) in [(NOW + 5, false), (NOW + 10, false), (NOW + 11, true)] {
        let mut mine = read(&base);
        save(&mut mine, Library::DotNet, &alice("stock/read", at));
        let mine = bytes(&mine);
        for both in [
            merged_at(Some(&base), (&mine, at * 1000), (&out, removed_ms)),
            merged_at(Some(&base), (&out, removed_ms), (&mine, at * 1000)),
        ] {
            let mut expected = read(&out);
            if stays {
                save(&mut expected, Library::DotNet, &alice("stock/read", at));
            }
            assert_eq!(read(&both), expected, "{at}");
        }
        // The same when the whole entry was removed.
        let both = merge(Some(&base), Side::written(&mine, at * 1000), Side::removed(removed_ms));
        let both = both.expect("documents").expect("memory");
        assert_eq!(both.holds_anything, stays, "{at}");
        assert_eq!(
            read(&both.bytes)["AccessToken"].as_object().expect("a section").len(),
            usize::from(stays)
        );
    }
}

#[test]
fn without_a_base_nothing_is_removed() {
    let one = document(Library::DotNet, &[alice("orders/read", NOW)]);
    let other = document(Library::DotNet, &[Answer { account: "bob.home", ..alice("orders/read", NOW + 1) }]);
    let both = merged(None, &bytes(&one), &bytes(&other));
    assert_eq!(both["AccessToken"].as_object().expect("a section").len(), 2);
    assert_eq!(both["Account"].as_object().expect("a section").len(), 2);
    // Nothing lies there, or nothing is written.
    for nothing in [&b""[..], b"{}", b" {\n} "] {
        assert_eq!(merged(None, &bytes(&one), nothing), one);
    }
}

/// Each keeps its own: with `instance_discovery=False` MSAL for Python finds nothing under the other.
#[test]
fn aliases_of_an_environment_stay_apart() {
    let answers = [alice("orders/read", NOW)];
    let [net, python] = [Library::DotNet, Library::Python].map(|library| document(library, &answers));
    let both = merged(None, &bytes(&net), &Library::Python.serialise(&python));
    for name in ["AccessToken", "RefreshToken", "IdToken", "Account", "AppMetadata"] {
        assert_eq!(both[name].as_object().expect("a section").len(), 2, "{name}");
    }
}

#[test]
fn unknown_nodes_and_members_of_both_survive() {
    let mut document = document(Library::DotNet, &[alice("orders/read", NOW)]);
    document["Ours"] = json!({ "a": [1, 2.5e300, "\u{7}"], "kept": true, "dropped": 1 });
    let base = bytes(&document);
    let mut mine = document.clone();
    mine["Ours"]["mine"] = json!({ "x": null });
    section(&mut mine, "Account").values_mut().next().expect("an account")["wam_account_ids"] =
        json!({ "c1": "w" });
    let mut theirs = document.clone();
    theirs["Ours"].as_object_mut().expect("an object").remove("dropped");
    theirs["Theirs"] = json!([[]]);
    section(&mut theirs, "Account").values_mut().next().expect("an account")["name"] = "Alice".into();
    section(&mut theirs, "AccessToken").values_mut().next().expect("a token")["refresh_on"] = "1".into();
    let both = merged(Some(&base), &bytes(&mine), &bytes(&theirs));
    let mut expected = theirs;
    expected["Ours"]["mine"] = json!({ "x": null });
    section(&mut expected, "Account").values_mut().next().expect("an account")["wam_account_ids"] =
        json!({ "c1": "w" });
    assert_eq!(both, expected);
}

/// Two libraries put the same refresh token under two names.
#[test]
fn one_refresh_token_is_left_of_two_names() {
    let [mut mine, mut theirs] =
        [5, 9].map(|later| document(Library::Python, &[alice("orders/read", NOW + later)]));
    let base = bytes(&document(Library::Python, &[alice("orders/read", NOW)]));
    let tokens = section(&mut mine, "RefreshToken");
    let mut token = tokens.values().next().expect("a token").clone();
    token["target"] = "orders/read".into();
    tokens.clear();
    tokens.insert("alice.home-login.microsoftonline.com-refreshtoken-c1--orders/read".into(), token);
    assert_eq!(merged(Some(&base), &bytes(&mine), &bytes(&theirs)), theirs);
    section(&mut theirs, "RefreshToken").values_mut().next().expect("a token")["last_modification_time"] =
        "1".into();
    assert_eq!(merged(Some(&base), &bytes(&mine), &bytes(&theirs))["RefreshToken"], mine["RefreshToken"]);
}

/// Whoever kept the base's may have a newer access token, and knows nothing of the new refresh token.
#[test]
fn a_refresh_token_that_was_replaced_gives_way_whatever_the_times_say() {
    let base = document(Library::Python, &[alice("orders/read", NOW)]);
    let [mut mine, mut theirs] = [base.clone(), base.clone()];
    save(&mut mine, Library::Python, &Answer { rotates: false, ..alice("stock/read", NOW + 20) });
    save(&mut theirs, Library::Python, &alice("mail/send", NOW + 10));
    for token in [&mut mine, &mut theirs] {
        let tokens = section(token, "RefreshToken").values_mut();
        tokens
            .for_each(|token| drop(token.as_object_mut().expect("a token").remove("last_modification_time")));
    }
    let both = merged(Some(&bytes(&base)), &bytes(&mine), &bytes(&theirs));
    assert_eq!(both["RefreshToken"], theirs["RefreshToken"]);
    assert_eq!(both["AccessToken"].as_object().expect("a section").len(), 3);
}

/// MSAL.NET keeps the refresh token of a family under one name, whichever of its clients got it.
#[test]
fn a_name_stands_once_in_a_section() {
    let of = |client: &str, at: i64| {
        let mut document = document(Library::Python, &[Answer { client, ..alice("orders/read", at) }]);
        let tokens = section(&mut document, "RefreshToken");
        let mut token = tokens.values().next().expect("a token").clone();
        token["family_id"] = "1".into();
        tokens.clear();
        tokens.insert("alice.home-login.windows.net-refreshtoken-1--".into(), token);
        document
    };
    let (mine, theirs) = (of("c1", NOW + 5), of("c2", NOW));
    let one = merged_at(None, (&bytes(&mine), 0), (&bytes(&theirs), 0));
    assert_eq!(String::from_utf8(one).expect("text").matches("refreshtoken-1--").count(), 1);
    assert_eq!(merged(None, &bytes(&mine), &bytes(&theirs))["RefreshToken"], mine["RefreshToken"]);
    // A name that is given twice says what it says last, as every parser of MSAL has it.
    let twice = b"{\"Ours\":{\"a\":1,\"a\":2},\"Ours\":{\"b\":3,\"\\u0062\":4}}";
    let both = merged_at(Some(b"{}"), (twice, 0), (b"{\"Theirs\":1}", 0));
    assert_eq!(String::from_utf8(both).expect("text"), "{\"Theirs\":1,\"Ours\":{\"b\":3,\"\\u0062\":4}}");
    let both = merged_at(Some(b"{}"), (twice, 0), (b"{\"Ours\":{\"c\":5}}", 0));
    assert_eq!(String::from_utf8(both).expect("text"), "{\"Ours\":{\"c\":5,\"\\u0062\":4}}");
}

/// What every sign-in asks for beside is in all of them; MSAL.NET does not ask its cache for it.
#[test]
fn scopes_of_every_sign_in_are_no_overlap() {
    let [one, other] = ["mail/read openid profile", "files/read openid profile"]
        .map(|scopes| document(Library::Python, &[alice(scopes, NOW)]));
    let both = merged(None, &bytes(&one), &bytes(&other));
    assert_eq!(both["AccessToken"].as_object().expect("a section").len(), 2);
}

#[test]
fn what_is_no_document_is_refused_without_a_word_of_it() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let nested =
        |levels: usize| format!("{{\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels)).into_bytes();
    let document = bytes(&empty());
    let rows = [
        (b"null".to_vec(), Refusal::NotAnObject),
        (b"[]".to_vec(), Refusal::NotAnObject),
        (b"\"hemlis\"".to_vec(), Refusal::NotAnObject),
        (b"hemlis".to_vec(), Refusal::NotJson { line: 1, column: 1 }),
        (b"{\"hemlis".to_vec(), Refusal::NotJson { line: 1, column: 8 }),
        ([&document[..], b"\0"].concat(), Refusal::NotJson { line: 1, column: document.len() + 1 }),
        ([b"\xEF\xBB\xBF", &document[..]].concat(), Refusal::ByteOrderMark),
        (b"{\"AccessToken\":[\"hemlis\"]}".to_vec(), Refusal::NotASection("AccessToken")),
        (b"{\"Account\":{\"hemlis\":\"hemlis\"}}".to_vec(), Refusal::NotAnItem("Account")),
        (nested(64), Refusal::TooDeep),
        (deep, Refusal::TooDeep),
    ];
    for (bytes, expected) in rows {
        let refusal = check(&bytes).expect_err("it is no document");
        assert_eq!(refusal, expected);
        assert!(!refusal.to_string().contains("hemlis"), "{refusal}");
        let sides = [Side::written(&document, 0), Side::written(&bytes, 0)];
        assert_eq!(merge(None, sides[0], sides[1]).expect_err("refused"), expected);
        assert_eq!(merge(None, sides[1], sides[0]).expect_err("refused"), expected);
        assert_eq!(merge(Some(&bytes), sides[0], sides[0]).expect_err("refused"), expected);
        assert!(prune(&bytes, i64::MAX).is_none());
    }
    for bytes in [&b""[..], b"{}", b" {}\n", b"{\"AccessToken\":null}", &nested(63), &document] {
        assert_eq!(check(bytes), Ok(()));
    }
}

#[test]
fn access_tokens_that_have_ended_are_pruned_and_nothing_else() {
    for library in [Library::DotNet, Library::Python] {
        let mut document = document(
            library,
            &[alice("orders/read", NOW - 7200), alice("stock/read", NOW), alice("mail", NOW)],
        );
        document["Ours"] = json!([1]);
        let written = library.serialise(&document);
        assert!(prune(&written, (NOW - 3600) * 1000 - 1).is_none(), "none has ended yet");
        let left = prune(&written, (NOW - 3600) * 1000).expect("one has ended");
        section(&mut document, "AccessToken").retain(|key, _| !key.contains("orders/read"));
        assert_eq!(read(&left), document);
        let left = prune(&written, i64::MAX).expect("all have ended");
        section(&mut document, "AccessToken").clear();
        assert_eq!(read(&left), document);
        assert!(prune(&left, i64::MAX).is_none());
    }
    let odd = json!({ "AccessToken": { "a": { "expires_on": "soon" }, "b": { "expires_on": 5 }, "c": {} } });
    let left = prune(&bytes(&odd), NOW * 1000).expect("one has ended");
    assert_eq!(read(&left), json!({ "AccessToken": { "a": { "expires_on": "soon" }, "c": {} } }));
}

#[test]
fn a_blob_of_thousands_of_tokens_is_merged_and_pruned() {
    let mut base = empty();
    let scopes: Vec<_> = (0..4247).map(|number| format!("resource{number}/read")).collect();
    for (number, scopes) in scopes.iter().enumerate() {
        let key = format!("a-{number}");
        let token = json!({
            "home_account_id": "alice.home", "environment": "e", "client_id": "c1", "realm": "home", "target": scopes,
            "secret": number.to_string(), "cached_at": NOW.to_string(),
            "expires_on": (NOW + if number % 10 == 0 { 3600 } else { 60 }).to_string(),
        });
        section(&mut base, "AccessToken").insert(key, token);
    }
    let [mut mine, mut theirs] = [base.clone(), base.clone()];
    save(&mut mine, Library::DotNet, &alice("mine", NOW));
    save(&mut theirs, Library::DotNet, &alice("theirs", NOW));
    let base = bytes(&base);
    let both = merged(Some(&base), &bytes(&mine), &bytes(&theirs));
    assert_eq!(both["AccessToken"].as_object().expect("a section").len(), 4249);
    let left = prune(&bytes(&both), (NOW + 60) * 1000).expect("nine of ten have ended");
    assert_eq!(read(&left)["AccessToken"].as_object().expect("a section").len(), 427);
    assert!(left.len() * 5 < base.len(), "{} of {} bytes are left", left.len(), base.len());
}
