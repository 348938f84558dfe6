//! Entries in Redis: what is kept, how it lies there, and who may write over it.

#[path = "support/redis.rs"]
mod support;

use redis::cmd;
use serde_json::json;
use support::{PREFIX, Server, status, stored};
use tokencache::cache::{Cache, SetOptions, SetOutcome};
use tokencache::clock;
use tokencache::entry::{Asked, NEVER};
use tokencache::error::Result;

/// .NET ticks at Unix time 0.
const UNIX_EPOCH_TICKS: i64 = 621_355_968_000_000_000;

fn expecting(expected_version: u64) -> SetOptions {
    SetOptions { expected_version, ..SetOptions::default() }
}

fn lasting(asked: Asked) -> SetOptions {
    SetOptions { asked, ..SetOptions::default() }
}

fn forever() -> SetOptions {
    lasting(Asked { ttl_ms: NEVER, ..Asked::default() })
}

fn version(outcome: Result<SetOutcome>) -> u64 {
    match outcome.expect("a write") {
        SetOutcome::Stored(version) => version,
        SetOutcome::Owed(_) => panic!("owed to L2"),
        SetOutcome::Conflict => panic!("a conflict"),
    }
}

fn data(cache: &Cache, key: &[u8]) -> Option<Vec<u8>> {
    cache.get(key).expect("a read").map(|entry| entry.data().to_vec())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The first 16 hexadecimal digits of the SHA-1 of what lies there, as the server makes it.
fn digest(server: &Server, key: &[u8]) -> String {
    let script = "return string.sub(redis.sha1hex(redis.call('HGET', KEYS[1], 'data')), 1, 16)";
    server.run(cmd("EVAL").arg(script).arg(1).arg(stored(key)))
}

fn tombstones(server: &Server) -> Vec<Vec<u8>> {
    let begin = format!("{PREFIX}__tokencache:gone:");
    server.keys().into_iter().filter(|key| key.starts_with(begin.as_bytes())).collect()
}

fn staged(server: &Server) -> usize {
    let begin = format!("{PREFIX}__tokencache:cas:");
    server.keys().iter().filter(|key| key.starts_with(begin.as_bytes())).count()
}

/// What .NET and every other stock writer does: it knows nothing of versions.
fn write_blindly(server: &Server, key: &[u8], bytes: &[u8]) {
    let mut command = cmd("HMSET");
    command.arg(stored(key)).arg("absexp").arg(-1).arg("sldexp").arg(-1).arg("data").arg(bytes);
    server.run::<()>(&command);
}

#[test]
fn values_of_every_size_come_back() {
    let Some(server) = Server::start() else { return };
    let (writer, reader) = (server.open_without_l1(), server.open_without_l1());
    for len in [0, 1, 2, 63, 64, 65, 2_000, 7_000, 16_383, 65_536, 1 << 20] {
        let key = format!("size-{len}");
        let value: Vec<u8> = (0..len).map(|i| ((i * 31) >> 3) as u8).collect();
        let written = version(writer.set(key.as_bytes(), &value, SetOptions::default()));
        let entry = reader.get(key.as_bytes()).expect("a read").expect("an entry");
        assert!(entry.data() == value, "{len} bytes came back as {}", entry.data().len());
        assert_eq!(entry.version(), written);
    }
    assert!(reader.get(b"nothing").expect("a read").is_none());
}

#[test]
fn an_entry_lies_there_as_stock_writers_leave_it_and_with_our_version() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    let before = clock::unix_ms();
    let asked = Asked { expires_at_ms: before + 3_600_000, sliding_ms: 90_500, ..Asked::default() };
    let written = version(cache.set(b"alice", b"token", lasting(asked)));
    let after = clock::unix_ms();

    let fields = server.fields(b"alice");
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["absexp", "data", "sldexp", "ver"]);
    assert_eq!(text(&fields["absexp"]), (asked.expires_at_ms * 10_000 + UNIX_EPOCH_TICKS).to_string());
    assert_eq!(text(&fields["sldexp"]), "905000000");
    assert_eq!(fields["data"], b"token");
    let ver = text(&fields["ver"]);
    // The clock of the write, the version, a hash that tells a foreign write without making a digest, and the writer.
    assert_eq!(ver.len(), 64, "{ver}");
    assert!(ver.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')), "{ver}");
    assert_eq!(ver[16..32], digest(&server, b"alice"));
    assert_eq!(u64::from_str_radix(&ver[16..32], 16), Ok(written));
    let clock_ms = i64::from_str_radix(&ver[..16], 16).expect("a clock") >> 16;
    assert!((before..=after).contains(&clock_ms), "{clock_ms} is not in {before} to {after}");
    let left = server.pttl(&stored(b"alice"));
    assert!((1..=90_500).contains(&left), "{left}");

    let entry = cache.get(b"alice").expect("a read").expect("an entry");
    assert_eq!((entry.lifetime().expires_at_ms, entry.lifetime().sliding_ms), (asked.expires_at_ms, 90_500));
    assert!((before..=after).contains(&entry.written_at_ms()));
}

#[test]
fn an_entry_that_never_ends_has_no_ttl_whatever_the_one_before_it_had() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    let hour = lasting(Asked { ttl_ms: 3_600_000, ..Asked::default() });
    for _ in 0..2 {
        cache.set(b"k", b"1", hour).expect("stored");
        assert!((1..=3_600_000).contains(&server.pttl(&stored(b"k"))));
        let seen = version(cache.set(b"k", b"2", forever()));
        assert_eq!(server.pttl(&stored(b"k")), -1);
        let fields = server.fields(b"k");
        assert_eq!((&*text(&fields["absexp"]), &*text(&fields["sldexp"])), ("-1", "-1"));
        let swap = SetOptions { expected_version: seen, ..hour };
        let seen = version(cache.set(b"k", b"3", swap));
        assert!((1..=3_600_000).contains(&server.pttl(&stored(b"k"))));
        version(cache.set(b"k", b"4", SetOptions { expected_version: seen, ..forever() }));
        assert_eq!(server.pttl(&stored(b"k")), -1);
    }
}

#[test]
fn what_others_keep_beside_an_entry_stays() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    cache.set(b"k", b"1", SetOptions::default()).expect("stored");
    server.ask::<()>("HSET p:k theirs kept");
    cache.set(b"k", b"2", SetOptions::default()).expect("stored");
    assert_eq!(server.fields(b"k")["theirs"], b"kept");
}

#[test]
fn a_remove_leaves_a_tombstone_for_a_day() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    cache.set(b"k", b"1", SetOptions::default()).expect("stored");
    assert!(tombstones(&server).is_empty());
    let before = clock::unix_ms();
    cache.remove(b"k").expect("removed");
    assert_eq!(data(&cache, b"k"), None);
    let [stone] = &tombstones(&server)[..] else { panic!("{:?}", tombstones(&server)) };
    assert_eq!(text(stone), "p:__tokencache:gone:{p:k}k");
    let clock: String = server.run(cmd("GET").arg(stone));
    assert_eq!(clock.len(), 32, "{clock}");
    assert!(i64::from_str_radix(&clock[..16], 16).expect("a clock") >> 16 >= before);
    let left = server.pttl(stone);
    assert!((80_000_000..=86_400_000).contains(&left), "{left}");
    cache.remove(b"k").expect("an absent key is removed already");
    cache.set(b"k", b"2", SetOptions::default()).expect("stored");
    assert_eq!(data(&cache, b"k"), Some(b"2".to_vec()));
}

#[test]
fn a_set_that_has_expired_already_removes() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    cache.set(b"k", b"1", SetOptions::default()).expect("stored");
    let past = lasting(Asked { expires_at_ms: clock::unix_ms() - 1, ..Asked::default() });
    assert_eq!(cache.set(b"k", b"2", past), Ok(SetOutcome::Stored(0)));
    assert_eq!(data(&cache, b"k"), None);
    assert_eq!(server.ask::<i64>("EXISTS p:k"), 0);
}

#[test]
fn a_compare_and_swap_is_refused_where_somebody_was_faster() {
    let Some(server) = Server::start() else { return };
    for cache in [server.open(json!({})), server.open_without_l1()] {
        cache.remove(b"k").expect("removed");
        let first = version(cache.set(b"k", b"1", expecting(u64::MAX)));
        assert_eq!(cache.set(b"k", b"2", expecting(u64::MAX)), Ok(SetOutcome::Conflict));
        let second = version(cache.set(b"k", b"2", expecting(first)));
        assert_eq!(cache.set(b"k", b"3", expecting(first)), Ok(SetOutcome::Conflict));
        assert_eq!(data(&cache, b"k").as_deref(), Some(&b"2"[..]));
        cache.remove(b"k").expect("removed");
        assert_eq!(cache.set(b"k", b"4", expecting(second)), Ok(SetOutcome::Conflict), "it is gone");
        assert_eq!(data(&cache, b"k"), None);
        version(cache.set(b"k", b"5", expecting(u64::MAX)));
        assert_eq!(staged(&server), 0, "after stores and after conflicts");
    }
}

#[test]
fn a_blind_writer_is_noticed() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    let seen = version(cache.set(b"k", b"ours", SetOptions::default()));
    write_blindly(&server, b"k", b"theirs");
    assert_eq!(cache.set(b"k", b"late", expecting(seen)), Ok(SetOutcome::Conflict));
    let entry = cache.get(b"k").expect("a read").expect("an entry");
    assert_eq!(entry.data(), b"theirs");
    assert_eq!(u64::from_str_radix(&digest(&server, b"k"), 16), Ok(entry.version()));
    assert_eq!(entry.written_at_ms(), 0, "our field says when we wrote, not when they did");
    version(cache.set(b"k", b"ours again", expecting(entry.version())));
    assert_eq!(data(&cache, b"k").as_deref(), Some(&b"ours again"[..]));
    assert_eq!(staged(&server), 0);

    server.ask::<()>("UNLINK p:k");
    write_blindly(&server, b"k", b"theirs alone");
    assert_eq!(cache.set(b"k", b"late", expecting(u64::MAX)), Ok(SetOutcome::Conflict));
}

#[test]
fn a_compare_and_swap_takes_what_stands_there_past_its_end_for_absent() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    server.ask::<()>("HMSET p:k absexp 630822816000000000 sldexp -1 data old");
    assert_eq!(data(&cache, b"k"), None);
    let entry_version = u64::from_str_radix(&digest(&server, b"k"), 16).expect("a digest");
    assert_eq!(cache.set(b"k", b"1", expecting(entry_version)), Ok(SetOutcome::Conflict));
    version(cache.set(b"k", b"1", expecting(u64::MAX)));
    assert_eq!(data(&cache, b"k").as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_server_that_has_forgotten_the_script_is_told_again() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    let mut seen = version(cache.set(b"k", b"0", expecting(u64::MAX)));
    for round in 1..5 {
        server.ask::<()>("SCRIPT FLUSH");
        seen = version(cache.set(b"k", format!("{round}").as_bytes(), expecting(seen)));
        assert_eq!(data(&cache, b"k"), Some(round.to_string().into_bytes()));
        assert_eq!(staged(&server), 0);
    }
}

#[test]
fn a_touch_moves_the_window_up_to_the_absolute_end_and_writes_nothing() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    let now = clock::unix_ms();
    let sliding = Asked { ttl_ms: NEVER, sliding_ms: 500_000, ..Asked::default() };
    let both = Asked { expires_at_ms: now + 400_000, sliding_ms: 500_000, ..Asked::default() };
    let absolute = Asked { expires_at_ms: now + 400_000, ..Asked::default() };
    for (key, asked) in [(&b"sliding"[..], sliding), (b"both", both), (b"absolute", absolute)] {
        cache.set(key, b"1", lasting(asked)).expect("stored");
        let fields = server.fields(key);
        server.run::<()>(cmd("PEXPIRE").arg(stored(key)).arg(100_000));
        assert_eq!(cache.touch(key), Ok(true));
        assert_eq!(server.fields(key), fields);
    }
    cache.set(b"still", b"1", forever()).expect("stored");
    assert_eq!(cache.touch(b"still"), Ok(true));
    assert_eq!(cache.touch(b"none"), Ok(false));
    assert!((400_001..=500_000).contains(&server.pttl(&stored(b"sliding"))));
    assert!((100_001..=400_000).contains(&server.pttl(&stored(b"both"))));
    assert!(
        (1..=400_000).contains(&server.pttl(&stored(b"absolute"))),
        "it may mend what others did, no more"
    );
    assert_eq!(server.pttl(&stored(b"still")), -1);
    assert_eq!(server.ask::<i64>("EXISTS p:none"), 0);
}

#[test]
fn a_key_of_another_type_is_left_as_it_is() {
    let Some(server) = Server::start() else { return };
    let cache = server.open_without_l1();
    server.ask::<()>("SET p:string x PX 1000000");
    server.ask::<()>("RPUSH p:list x");
    for (key, ttl) in [(&b"string"[..], 1_000_000), (b"list", -1)] {
        assert_eq!(status(cache.get(key)), "TC_L2_PROTOCOL");
        assert_eq!(status(cache.touch(key)), "TC_L2_PROTOCOL");
        let hour = Asked { ttl_ms: 3_600_000, ..Asked::default() };
        for options in [lasting(hour), forever(), expecting(u64::MAX), expecting(7)] {
            let answer = cache.set(key, b"1", options);
            // It may also be told as "somebody else's entry is there".
            let is_conflict = options.expected_version != 0 && answer == Ok(SetOutcome::Conflict);
            assert!(is_conflict || status(answer.clone()) == "TC_L2_PROTOCOL", "{answer:?}");
            let left = server.pttl(&stored(key));
            assert!(left <= ttl && (left < 0) == (ttl < 0), "its TTL is {left}, and was {ttl}");
        }
        assert_ne!(server.run::<String>(cmd("TYPE").arg(stored(key))), "hash");
    }
    for key in server.keys().iter().filter(|key| key.starts_with(b"p:__tokencache:")) {
        assert!((0..=60_000).contains(&server.pttl(key)), "what is left on the stage goes by itself");
    }
    let refused = cache.get(b"list").expect_err("no entry");
    assert!(!refused.message.contains("list"), "{}", refused.message);
    cache.remove(b"list").expect("UNLINK asks for no type");
    assert_eq!(server.ask::<i64>("EXISTS p:list"), 0);
}

#[test]
fn caches_that_share_a_server_see_each_others_writes() {
    let Some(server) = Server::start() else { return };
    let (a, b) = (server.open_without_l1(), server.open_without_l1());
    std::thread::scope(|scope| {
        for cache in [&a, &b, &a, &b] {
            scope.spawn(move || (0..100).for_each(|_| increment(cache)));
        }
    });
    assert_eq!(data(&a, b"n"), Some(b"400".to_vec()));
    assert_eq!(staged(&server), 0);
}

fn increment(cache: &Cache) {
    loop {
        let entry = cache.get(b"n").expect("a read");
        let number = |bytes: &[u8]| text(bytes).parse::<u64>().expect("a number");
        let (now, seen) = entry.map_or((0, u64::MAX), |entry| (number(entry.data()), entry.version()));
        let next = (now + 1).to_string();
        if cache.set(b"n", next.as_bytes(), expecting(seen)).expect("a write") != SetOutcome::Conflict {
            return;
        }
    }
}
