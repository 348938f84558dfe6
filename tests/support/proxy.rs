//! A link that can be cut, delayed or silenced: a TCP proxy before a real server.

#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the proxy does to what passes.
#[derive(Default)]
struct Faults {
    /// Where new links lead.
    target: AtomicU16,
    /// Bytes that may still pass toward the client before its link is cut; below zero: no limit.
    to_client: AtomicI64,
    /// The same toward the server.
    to_server: AtomicI64,
    /// Nothing passes toward the client, and nothing is said about it.
    is_silent_to_client: AtomicBool,
    /// The same toward the server.
    is_silent_to_server: AtomicBool,
    /// Before each piece that passes toward the client.
    delay_ms: AtomicU64,
    accepted: AtomicUsize,
}

/// A proxy on a port of its own; it ends with the test.
pub struct Proxy {
    port: u16,
    faults: Arc<Faults>,
    links: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// A proxy before the server on loopback's `port`.
    pub fn before(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let faults = Arc::new(Faults { target: port.into(), ..Faults::default() });
        let proxy = Proxy { port: own, faults: Arc::clone(&faults), links: Arc::default() };
        proxy.heal();
        let links = Arc::clone(&proxy.links);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                faults.accepted.fetch_add(1, Ordering::SeqCst);
                let target = faults.target.load(Ordering::SeqCst);
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                for link in [&client, &server] {
                    link.set_nodelay(true).expect("a link");
                }
                let mut known = links.lock().expect("nobody panics here");
                known.extend([client.try_clone().expect("a link"), server.try_clone().expect("a link")]);
                drop(known);
                forward(&client, &server, &faults, |faults| (&faults.to_server, &faults.is_silent_to_server));
                forward(&server, &client, &faults, |faults| (&faults.to_client, &faults.is_silent_to_client));
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Has new links lead to another server, as the address of a service does when its primary has changed.
    pub fn repoint(&self, port: u16) {
        self.faults.target.store(port, Ordering::SeqCst);
    }

    /// How many links there have been.
    pub fn accepted(&self) -> usize {
        self.faults.accepted.load(Ordering::SeqCst)
    }

    /// Cuts the link when `bytes` more have passed toward the client.
    pub fn cut_after(&self, bytes: usize) {
        self.faults.to_client.store(bytes.try_into().expect("a small number"), Ordering::SeqCst);
    }

    /// Cuts the link when `bytes` more have passed toward the server.
    pub fn cut_request_after(&self, bytes: usize) {
        self.faults.to_server.store(bytes.try_into().expect("a small number"), Ordering::SeqCst);
    }

    /// Lets nothing pass, without a word.
    pub fn fall_silent(&self) {
        self.fall_silent_to_client();
        self.fall_silent_to_server();
    }

    /// Lets nothing pass toward the client, without a word.
    pub fn fall_silent_to_client(&self) {
        self.faults.is_silent_to_client.store(true, Ordering::SeqCst);
    }

    /// Lets nothing pass toward the server, without a word.
    pub fn fall_silent_to_server(&self) {
        self.faults.is_silent_to_server.store(true, Ordering::SeqCst);
    }

    /// Holds back whatever the server says.
    pub fn delay(&self, time: Duration) {
        let millis = time.as_millis().try_into().expect("a small number");
        self.faults.delay_ms.store(millis, Ordering::SeqCst);
    }

    /// Cuts every link there is.
    pub fn cut(&self) {
        for link in self.links.lock().expect("nobody panics here").drain(..) {
            let _ = link.shutdown(Shutdown::Both);
        }
    }

    /// Does nothing more to what passes.
    pub fn heal(&self) {
        self.faults.to_client.store(-1, Ordering::SeqCst);
        self.faults.to_server.store(-1, Ordering::SeqCst);
        self.faults.is_silent_to_client.store(false, Ordering::SeqCst);
        self.faults.is_silent_to_server.store(false, Ordering::SeqCst);
        self.faults.delay_ms.store(0, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

/// What of the faults holds for one direction: how much may pass, and whether it is silent.
type Direction = fn(&Faults) -> (&AtomicI64, &AtomicBool);

fn forward(from: &TcpStream, to: &TcpStream, faults: &Arc<Faults>, direction: Direction) {
    let (mut from, mut to) = (from.try_clone().expect("a link"), to.try_clone().expect("a link"));
    let faults = Arc::clone(faults);
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            let (left, is_silent) = direction(&faults);
            while is_silent.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(faults.delay_ms.load(Ordering::SeqCst)));
            let passes = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                (left >= 0).then(|| (left - read as i64).max(0))
            });
            let may = passes.map_or(read, |left| read.min(usize::try_from(left).expect("not below zero")));
            if to.write_all(&piece[..may]).is_err() || may < read {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}
