//! What a hit hands out: uncounted references, released in any order, on any thread, after whatever has happened to the entry.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use tokencache::entry::raw::{self, PublicHead};
use tokencache::entry::{Entry, Held, Parts, Reader, Spot};

/// What was handed out, released when dropped.
struct Lent(*const PublicHead);

// SAFETY: what is handed out may be released on any thread.
unsafe impl Send for Lent {}

impl Lent {
    fn of(spot: &Spot) -> Lent {
        let reader = Reader::own().expect("a reader of this thread");
        Lent(spot.hold(Some(reader)).expect("an entry lies there").lend(reader))
    }

    fn again(&self) -> Lent {
        // SAFETY: it is not released yet.
        unsafe { raw::retain(self.0) };
        Lent(self.0)
    }

    fn data(&self) -> &[u8] {
        // SAFETY: it was handed out and is not released yet.
        unsafe { std::slice::from_raw_parts((*self.0).data, (*self.0).len) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: each is released once.
        unsafe { raw::release(self.0) };
    }
}

fn entry(byte: u8) -> Option<Entry> {
    Some(Entry::new(Parts::lasting(b"key", &[byte; 700])).expect("memory for an entry"))
}

#[track_caller]
fn is_whole(lent: &Lent, byte: u8) {
    assert!(lent.data().len() == 700 && lent.data().iter().all(|&at| at == byte), "all of it is {byte}");
}

/// A counted reference to what lies there.
fn counted(spot: &Spot) -> Option<Entry> {
    spot.hold(Reader::own()).map(Held::counted)
}

#[test]
fn any_number_of_values_outlives_the_entry_in_its_place() {
    let spot = Spot::empty();
    spot.swap(entry(1));
    // More than a thread has leases, so that some are counted; and some of each are retained.
    let mut all: Vec<Lent> = (0..20).map(|_| Lent::of(&spot)).collect();
    all.extend(all.iter().step_by(3).map(Lent::again).collect::<Vec<_>>());
    drop(spot.swap(entry(2)));
    let newer = Lent::of(&spot);
    drop(spot.swap(None));
    for number in (0..all.len()).rev().step_by(2) {
        drop(all.swap_remove(number));
        all.iter().for_each(|lent| is_whole(lent, 1));
    }
    is_whole(&newer, 2);
    drop(all);
    is_whole(&newer, 2);
    assert!(counted(&spot).is_none());
}

#[test]
fn a_value_outlives_the_thread_that_got_it() {
    let spot = Spot::empty();
    spot.swap(entry(3));
    let (sender, lents) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..8 {
            let (sender, spot) = (sender.clone(), &spot);
            scope.spawn(move || {
                (0..6).for_each(|_| sender.send(Lent::of(spot)).expect("somebody waits for it"))
            });
        }
    });
    drop(sender);
    let all: Vec<Lent> = lents.iter().collect();
    drop(spot.swap(None));
    // Whoever gets the reader of an ended thread finds its leases taken.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let own = Spot::empty();
                own.swap(entry(4));
                let lents: Vec<Lent> = (0..6).map(|_| Lent::of(&own)).collect();
                lents.iter().for_each(|lent| is_whole(lent, 4));
            });
        }
    });
    assert_eq!(all.len(), 48);
    all.iter().for_each(|lent| is_whole(lent, 3));
}

#[test]
fn a_thread_without_a_reader_or_with_all_of_its_hazards_taken_holds_too() {
    let spot = Spot::empty();
    assert!(spot.hold(None).is_none());
    spot.swap(entry(5));
    let first = spot.hold(None).expect("an entry lies there");
    let own = Reader::own();
    let more: Vec<Held> = (0..8).map(|_| spot.hold(own).expect("an entry lies there")).collect();
    drop(spot.swap(entry(6)));
    assert!(more.iter().chain([&first]).all(|held| held.data() == [5; 700]));
    assert_eq!(counted(&spot).expect("an entry lies there").data(), [6; 700]);
    // Counted on its way out, where no lease goes with it.
    let lent = more
        .into_iter()
        .map(|held| Lent(held.lend(own.expect("a reader of this thread"))))
        .collect::<Vec<_>>();
    lent.iter().for_each(|lent| is_whole(lent, 5));
}

#[test]
fn threads_that_read_while_they_end_leave_no_reader_behind() {
    extern "C" fn read(spot: *mut libc::c_void) {
        // SAFETY: it outlives the threads.
        let spot = unsafe { &*spot.cast::<Spot>() };
        assert!(counted(spot).is_some());
    }
    let spot = Spot::empty();
    spot.swap(entry(7));
    let mut key = 0;
    // SAFETY: `key` can be written.
    assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(read)) }, 0);
    // The other tests of this program have threads too.
    let most = Reader::all().count() + 50;
    for _ in 0..200 {
        // SAFETY: a key that was made.
        let begin = || assert_eq!(unsafe { libc::pthread_setspecific(key, (&raw const spot).cast()) }, 0);
        thread::scope(|scope| scope.spawn(begin).join()).expect("nothing fails in it");
    }
    assert!(Reader::all().count() < most, "{} readers", Reader::all().count());
}

#[test]
fn a_child_has_what_was_lent_and_no_reader_of_other_threads() {
    let spot = Spot::empty();
    spot.swap(entry(8));
    let mut lents: Vec<Lent> = (0..6).map(|_| Lent::of(&spot)).collect();
    // SAFETY: the child calls nothing that another thread may have locked.
    let child = unsafe { libc::fork() };
    if child == 0 {
        Reader::forget_others();
        let is_right = lents.iter().all(|lent| lent.data() == [8; 700]);
        lents.drain(..3).for_each(drop);
        let held = Lent::of(&spot);
        let is_right = is_right && held.data() == [8; 700] && spot.hold(None).is_some();
        // SAFETY: it ends here.
        unsafe { libc::_exit(if is_right { 0 } else { 1 }) };
    }
    let mut status = -1;
    // SAFETY: `status` can be written.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    lents.iter().for_each(|lent| is_whole(lent, 8));
}

#[test]
fn readers_and_releases_race_with_writers() {
    let spots: [Spot; 3] = std::array::from_fn(|_| Spot::empty());
    spots.iter().for_each(|spot| drop(spot.swap(entry(0))));
    let is_over = AtomicBool::new(false);
    let (sender, lents) = mpsc::sync_channel::<Lent>(64);
    thread::scope(|scope| {
        for seed in 0..3 {
            let (sender, spots, is_over) = (sender.clone(), &spots, &is_over);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut kept = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let lent = Lent::of(&spots[random.usize(..spots.len())]);
                    is_whole(&lent, lent.data()[0]);
                    match random.u32(..8) {
                        0 => kept.push(lent.again()),
                        1 => drop(sender.try_send(lent.again())),
                        2 => kept.clear(),
                        _ => {}
                    }
                    kept.truncate(9);
                    kept.iter().for_each(|lent: &Lent| is_whole(lent, lent.data()[0]));
                }
            });
        }
        drop(sender);
        scope.spawn(move || lents.iter().for_each(|lent| is_whole(&lent, lent.data()[0])));
        for step in 0..60_000_usize {
            drop(spots[step % spots.len()].swap(entry(step as u8)));
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
