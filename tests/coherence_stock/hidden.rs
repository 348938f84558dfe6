//! A change that our own renewal follows at once. The server tells the keys that were changed once in each turn of its
//! loop, and keeps of each key only who changed it last: by NOLOOP a change before ours, in the same turn, is not told.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use crate::support::{GENEROUS, Server, stored};
use crate::{catch_up, hold, open, read, sliding, until, write};

const KEY: &[u8] = b"k";
const ROUNDS: usize = 20;

#[test]
fn a_stock_write_that_our_own_renewal_follows_at_once_is_not_lost() {
    let Some(server) = Server::start() else { return };
    let cache = open(&server);
    let mut peer = UnixStream::connect(server.socket()).expect("the socket");
    peer.set_read_timeout(Some(GENEROUS)).expect("a timeout");
    tell(&mut peer, &[b"AUTH", b"tests", b"tests"]);
    hear(&mut peer, "+OK\r\n");
    for round in 0..ROUNDS {
        write(&cache, KEY, b"ours", sliding());
        // So that our renewal changes something.
        tell(&mut peer, &[b"PEXPIRE", &stored(KEY), b"3000000"]);
        hear(&mut peer, ":1\r\n");
        assert_eq!(hold(&cache, KEY).data(), b"ours");

        let theirs = format!("theirs-{round}");
        server.stop();
        tell(&mut peer, &[b"HMSET", &stored(KEY), b"data", theirs.as_bytes()]);
        thread::scope(|scope| {
            let renewal = scope.spawn(|| cache.touch(KEY));
            until("our renewal waits for the server too", || waits(server.port()));
            server.go_on();
            assert_eq!(renewal.join().expect("no panic"), Ok(true));
        });
        hear(&mut peer, "+OK\r\n");
        catch_up(&cache);
        assert_eq!(read(&cache, KEY).expect("an entry").data(), theirs.as_bytes(), "round {round}");
    }
}

fn tell(peer: &mut UnixStream, words: &[&[u8]]) {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend(format!("${}\r\n", word.len()).bytes());
        request.extend([word, &b"\r\n"[..]].concat());
    }
    peer.write_all(&request).expect("asked");
}

fn hear(peer: &mut UnixStream, expected: &str) {
    let mut answer = vec![0; expected.len()];
    peer.read_exact(&mut answer).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer), expected);
}

/// Whether bytes wait for the server behind one of its connections of TCP.
fn waits(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of the kernel");
    let local = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_established = words[3] == "01";
        words[1].ends_with(&local) && is_established && !words[4].ends_with(":00000000")
    })
}
