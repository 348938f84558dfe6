//! A link that can be cut, broken, delayed, slowed down, silenced or falsified: a TCP proxy before a real server.

#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst,
};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// Into how many pieces a second is cut in which not everything may pass.
const PIECES_PER_SECOND: usize = 50;

/// What the proxy does to what passes.
#[derive(Default)]
struct Faults {
    to_client: Direction,
    to_server: Direction,
    /// Before each piece that passes, either way.
    delay_ms: AtomicU64,
    /// In each direction; 0: no limit.
    bytes_per_second: AtomicU32,
    is_byte_by_byte: AtomicBool,
    accepted: AtomicUsize,
    /// Pieces that have come and not yet passed.
    here: AtomicUsize,
}

/// What it does in one direction.
struct Direction {
    /// Bytes that may still pass before the link is cut; below zero: no limit.
    left: AtomicI64,
    /// Bytes that may still pass before one is flipped; below zero: none is.
    good: AtomicI64,
    /// Nothing passes, and nothing is said about it.
    is_silent: AtomicBool,
    passed: AtomicUsize,
}

impl Default for Direction {
    fn default() -> Direction {
        Direction { left: (-1).into(), good: (-1).into(), is_silent: false.into(), passed: 0.into() }
    }
}

/// Both ends of what was accepted; closed with the last thread that uses them.
struct Link {
    client: TcpStream,
    server: TcpStream,
    is_over: AtomicBool,
    /// What it is sent stays where it is, whoever goes.
    is_held: AtomicBool,
}

impl Link {
    /// Ends it with a goodbye on both sides, or without one.
    fn end(&self, how: Shutdown) {
        self.is_over.store(true, SeqCst);
        let _ = (self.client.shutdown(how), self.server.shutdown(how));
    }
}

/// A proxy on a port of its own; it ends with the test.
pub struct Proxy {
    port: u16,
    upstream: Arc<AtomicU16>,
    faults: Arc<Faults>,
    links: Arc<Mutex<Vec<Weak<Link>>>>,
}

impl Proxy {
    /// A proxy before the server on loopback's `port`.
    pub fn before(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let upstream = Arc::new(AtomicU16::new(port));
        let proxy = Proxy { port: own, upstream, faults: Arc::default(), links: Arc::default() };
        let (upstream, faults, links) =
            (Arc::clone(&proxy.upstream), Arc::clone(&proxy.faults), Arc::clone(&proxy.links));
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                faults.accepted.fetch_add(1, SeqCst);
                let Ok(server) = TcpStream::connect(("127.0.0.1", upstream.load(SeqCst))) else { continue };
                for end in [&client, &server] {
                    end.set_nodelay(true).expect("a link");
                }
                let link = Arc::new(Link { client, server, is_over: false.into(), is_held: false.into() });
                links.lock().expect("nobody panics here").push(Arc::downgrade(&link));
                for passes in [pass_to_server, pass_to_client] {
                    let (link, faults) = (Arc::clone(&link), Arc::clone(&faults));
                    thread::spawn(move || passes(&link, &faults));
                }
            }
        });
        proxy
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// How many links there have been.
    pub fn accepted(&self) -> usize {
        self.faults.accepted.load(SeqCst)
    }

    /// How many bytes have passed toward the server and toward the client.
    pub fn passed(&self) -> [usize; 2] {
        [&self.faults.to_server, &self.faults.to_client].map(|direction| direction.passed.load(SeqCst))
    }

    /// Leads the links that are made from now on to the server on loopback's `port`.
    pub fn repoint(&self, port: u16) {
        self.upstream.store(port, SeqCst);
    }

    /// Cuts the link when `bytes` more have passed toward the client.
    pub fn cut_after(&self, bytes: usize) {
        self.faults.to_client.left.store(count(bytes), SeqCst);
    }

    /// Cuts the link when `bytes` more have passed toward the server.
    pub fn cut_request_after(&self, bytes: usize) {
        self.faults.to_server.left.store(count(bytes), SeqCst);
    }

    /// Flips every bit of the byte after the next `bytes` toward the client.
    pub fn flip_after(&self, bytes: usize) {
        self.faults.to_client.good.store(count(bytes), SeqCst);
    }

    /// Flips every bit of the byte after the next `bytes` toward the server.
    pub fn flip_request_after(&self, bytes: usize) {
        self.faults.to_server.good.store(count(bytes), SeqCst);
    }

    /// Lets nothing pass, without a word.
    pub fn fall_silent(&self) {
        self.fall_silent_to_client();
        self.fall_silent_to_server();
    }

    /// Lets nothing pass toward the client, without a word.
    pub fn fall_silent_to_client(&self) {
        self.faults.to_client.is_silent.store(true, SeqCst);
    }

    /// Lets nothing pass toward the server, without a word.
    pub fn fall_silent_to_server(&self) {
        self.faults.to_server.is_silent.store(true, SeqCst);
    }

    /// Keeps what the links that there are send from now on. New ones are free.
    pub fn hold(&self) {
        for link in self.links.lock().expect("nobody panics here").iter().filter_map(Weak::upgrade) {
            link.is_held.store(true, SeqCst);
        }
    }

    /// Passes on what was held, also of those who have gone.
    pub fn release(&self) {
        for link in self.links.lock().expect("nobody panics here").iter().filter_map(Weak::upgrade) {
            link.is_held.store(false, SeqCst);
        }
    }

    /// How many pieces have come and not yet passed.
    pub fn held(&self) -> usize {
        self.faults.here.load(SeqCst)
    }

    /// Holds back each piece of what either side says.
    pub fn delay(&self, time: Duration) {
        self.faults.delay_ms.store(time.as_millis().try_into().expect("a small number"), SeqCst);
    }

    /// Lets so much pass in a second, either way.
    pub fn throttle(&self, bytes_per_second: u32) {
        self.faults.bytes_per_second.store(bytes_per_second, SeqCst);
    }

    /// Passes each byte on by itself.
    pub fn pass_byte_by_byte(&self) {
        self.faults.is_byte_by_byte.store(true, SeqCst);
    }

    /// Cuts every link there is.
    pub fn cut(&self) {
        self.each_link(|link| link.end(Shutdown::Both));
    }

    /// Breaks every link there is as a host does that has forgotten it: with a reset, and no goodbye.
    pub fn reset(&self) {
        self.each_link(|link| {
            for end in [&link.client, &link.server] {
                let _ = SockRef::from(end).set_linger(Some(Duration::ZERO));
            }
            // Wakes the threads and tells the other side nothing; the close that follows does.
            link.end(Shutdown::Read);
        });
    }

    fn each_link(&self, act: impl Fn(&Link)) {
        let links = std::mem::take(&mut *self.links.lock().expect("nobody panics here"));
        links.iter().filter_map(Weak::upgrade).for_each(|link| act(&link));
    }

    /// Does nothing more to what passes.
    pub fn heal(&self) {
        for direction in [&self.faults.to_client, &self.faults.to_server] {
            direction.left.store(-1, SeqCst);
            direction.good.store(-1, SeqCst);
            direction.is_silent.store(false, SeqCst);
        }
        self.faults.delay_ms.store(0, SeqCst);
        self.faults.bytes_per_second.store(0, SeqCst);
        self.faults.is_byte_by_byte.store(false, SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

/// A piece on its way.
struct Here<'a>(&'a AtomicUsize);

impl Here<'_> {
    fn new(count: &AtomicUsize) -> Here<'_> {
        count.fetch_add(1, SeqCst);
        Here(count)
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

fn count(bytes: usize) -> i64 {
    bytes.try_into().expect("a small number")
}

fn pass_to_server(link: &Link, faults: &Faults) {
    pass(link, &link.client, &link.server, faults, &faults.to_server);
}

fn pass_to_client(link: &Link, faults: &Faults) {
    pass(link, &link.server, &link.client, faults, &faults.to_client);
}

/// Passes on what comes, until one side ends or the link is cut.
fn pass(link: &Link, mut from: &TcpStream, mut to: &TcpStream, faults: &Faults, direction: &Direction) {
    let mut read = [0; 4096];
    'link: while let Ok(len @ 1..) = from.read(&mut read) {
        for piece in read[..len].chunks_mut(faults.piece_len(len)) {
            let _here = Here::new(&faults.here);
            if !faults.hold_up(piece.len(), direction, link) {
                break 'link;
            }
            direction.falsify(piece);
            let (may, is_last) = direction.may_pass(piece.len());
            direction.passed.fetch_add(may, SeqCst);
            if to.write_all(&piece[..may]).is_err() || is_last {
                break 'link;
            }
        }
    }
    // A link that was reset has said all that it has to say.
    if !link.is_over.load(SeqCst) {
        link.end(Shutdown::Both);
    }
}

impl Faults {
    /// Into pieces of which length `len` bytes are cut.
    fn piece_len(&self, len: usize) -> usize {
        match self.bytes_per_second.load(SeqCst) {
            _ if self.is_byte_by_byte.load(SeqCst) => 1,
            0 => len,
            bytes_per_second => (bytes_per_second as usize / PIECES_PER_SECOND).clamp(1, len),
        }
    }

    /// Waits as long as a piece of `bytes` has to; whether the link is still there.
    fn hold_up(&self, bytes: usize, direction: &Direction, link: &Link) -> bool {
        let is_over = || link.is_over.load(SeqCst);
        while direction.is_silent.load(SeqCst) && !is_over() {
            thread::sleep(Duration::from_millis(1));
        }
        while link.is_held.load(SeqCst) && !is_over() {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(self.delay_ms.load(SeqCst)));
        let bytes_per_second = self.bytes_per_second.load(SeqCst);
        if bytes_per_second > 0 {
            thread::sleep(Duration::from_secs(bytes as u64) / bytes_per_second);
        }
        !is_over()
    }
}

impl Direction {
    /// How much of a piece of `bytes` passes, and whether the link is cut then. Decided before anything passes: whoever
    /// has got this piece may ask for a cut of what comes next.
    fn may_pass(&self, bytes: usize) -> (usize, bool) {
        let left =
            self.left.fetch_update(SeqCst, SeqCst, |left| (left >= 0).then(|| (left - count(bytes)).max(0)));
        let left = left.map(|left| usize::try_from(left).expect("not below zero"));
        left.map_or((bytes, false), |left| (bytes.min(left), left <= bytes))
    }

    /// Flips the byte of `piece` whose turn it is.
    fn falsify(&self, piece: &mut [u8]) {
        let good = self
            .good
            .fetch_update(SeqCst, SeqCst, |good| (good >= 0).then(|| (good - count(piece.len())).max(-1)));
        let turn = good.ok().and_then(|good| piece.get_mut(usize::try_from(good).expect("not below zero")));
        if let Some(byte) = turn {
            *byte = !*byte;
        }
    }
}
