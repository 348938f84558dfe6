//! The ABI: calls in any order, with whatever handles, pointers, lengths and options.

mod given;
mod promises;

use std::ffi::CStr;
use std::ptr;

use arbitrary::{Arbitrary, Unstructured};
use given::{Bytes, Document, Key, Options, Output, Place};
use promises::{data, on_log, on_retry, promises, promises_an_end};
use tokencache::ffi::*;

const MOST_CALLS: usize = 40;
const MOST_OPEN: usize = 3;
/// One call. Caches and values are chosen by their number.
#[derive(Arbitrary, Debug)]
enum Call {
    Open { abi: u8, document: Document, has_output: bool },
    Configure(u8, Document),
    Flush(u8, u8),
    Close(u8),
    Get(u8, Key, Output),
    Peek(u8, Key, Output),
    GetInto(u8, Key, Option<u16>, bool),
    Set(u8, Key, Bytes, Options, bool),
    SetAndGet(u8, u8, Vec<u8>),
    Remove(u8, Key),
    Touch(u8, Key),
    Clear(u8),
    GetAsync(u8, Key, bool),
    SetAsync(u8, Key, Bytes, Options, bool),
    RemoveAsync(u8, Key, bool),
    Retain(u8),
    Release(u8),
    OnRetry(u8, bool),
    OnLog(u8, i8, bool),
    Stats(u8, Output),
    Protect(u8, Key, Bytes, Output),
    Unprotect(u8, Key, Bytes, Output),
    ProtectAndBack(u8, Key, Vec<u8>),
    Names(i32),
}

pub fn run(bytes: &[u8]) {
    let mut session = Session::default();
    let mut input = Unstructured::new(bytes);
    for _ in 0..MOST_CALLS {
        let Ok(call) = input.arbitrary::<Call>() else { break };
        // SAFETY: pointers are null, or to memory of the length that is said where that is a possible one.
        unsafe { session.call(&call) };
        if input.is_empty() {
            break;
        }
    }
    session.end();
}

/// What a program holds.
#[derive(Default)]
struct Session {
    /// Every handle that there ever was, and whether it is open.
    caches: Vec<(*mut tc_cache, bool)>,
    values: Vec<*const tc_value>,
    last_version: u64,
}

impl Session {
    unsafe fn call(&mut self, call: &Call) {
        // SAFETY: as in `run`.
        unsafe {
            match call {
                Call::Open { abi, document, has_output } => self.open(*abi, document, *has_output),
                Call::Close(cache) => self.close(self.cache(*cache)),
                Call::Configure(cache, document) => {
                    let document = document.given();
                    said(tc_configure(self.cache(*cache), document.text(), document.len));
                }
                Call::Flush(cache, ms) => said(tc_flush(self.cache(*cache), (*ms).into())),
                Call::Clear(cache) => said(tc_clear(self.cache(*cache))),
                Call::Remove(cache, key) => {
                    let key = key.given();
                    said(tc_remove(self.cache(*cache), key.text(), key.len));
                }
                Call::Touch(cache, key) => {
                    let key = key.given();
                    said(tc_touch(self.cache(*cache), key.text(), key.len));
                }
                Call::Set(cache, key, bytes, options, has_version) => {
                    self.set(*cache, key, bytes, options, *has_version);
                }
                Call::SetAndGet(cache, key, bytes) => self.set_and_get(*cache, *key, bytes),
                Call::Names(status) => {
                    for text in [tc_status_name(*status), tc_last_error(), tc_version()] {
                        assert!(CStr::from_ptr(text).to_str().is_ok());
                    }
                }
                Call::Retain(value) => {
                    let value = self.value(*value);
                    assert_eq!(tc_value_retain(value), value);
                    self.values.extend((!value.is_null()).then_some(value));
                }
                Call::Release(value) => {
                    let value = self.value(*value);
                    self.values.iter().position(|it| *it == value).map(|at| self.values.swap_remove(at));
                    tc_value_release(value);
                }
                read => self.answers(read),
            }
        }
    }

    /// The calls that answer with a value, at once or later.
    unsafe fn answers(&mut self, call: &Call) {
        // SAFETY: as in `run`.
        unsafe {
            match call {
                Call::Get(cache, key, output) => {
                    let (cache, key) = (self.cache(*cache), key.given());
                    self.keep(*output, |out| tc_get(cache, key.text(), key.len, out));
                }
                Call::Peek(cache, key, output) => {
                    let (cache, key) = (self.cache(*cache), key.given());
                    self.keep(*output, |out| tc_peek(cache, key.text(), key.len, out));
                }
                Call::Stats(cache, output) => {
                    let cache = self.cache(*cache);
                    self.keep(*output, |out| tc_stats(cache, out));
                }
                Call::Protect(cache, key, bytes, output) => {
                    let (cache, key, bytes) = (self.cache(*cache), key.given(), bytes.given());
                    self.keep(*output, |out| {
                        tc_protect(cache, key.text(), key.len, bytes.bytes(), bytes.len, out)
                    });
                }
                Call::Unprotect(cache, key, bytes, output) => {
                    let (cache, key, bytes) = (self.cache(*cache), key.given(), bytes.given());
                    self.keep(*output, |out| {
                        tc_unprotect(cache, key.text(), key.len, bytes.bytes(), bytes.len, out)
                    });
                }
                Call::ProtectAndBack(cache, key, bytes) => self.protect_and_back(*cache, key, bytes),
                Call::GetInto(cache, key, room, has_output) => self.get_into(*cache, key, *room, *has_output),
                Call::GetAsync(cache, key, has_done) => {
                    let (cache, key) = (self.cache(*cache), key.given());
                    promises(*has_done, |done| tc_get_async(cache, key.text(), key.len, done, data()));
                }
                Call::SetAsync(cache, key, bytes, options, has_done) => {
                    let (cache, key, bytes) = (self.cache(*cache), key.given(), bytes.given());
                    let options = options.given(self.last_version);
                    let options = options.as_ref().map_or(ptr::null(), ptr::from_ref);
                    let (text, data_at) = (key.text(), bytes.bytes());
                    promises(*has_done, |done| {
                        tc_set_async(cache, text, key.len, data_at, bytes.len, options, done, data())
                    });
                }
                Call::RemoveAsync(cache, key, has_done) => {
                    let (cache, key) = (self.cache(*cache), key.given());
                    promises(*has_done, |done| tc_remove_async(cache, key.text(), key.len, done, data()));
                }
                Call::OnRetry(cache, is_set) => {
                    let callback: tc_retry_fn = if *is_set { Some(on_retry) } else { None };
                    promises_an_end(|destroy| tc_on_retry(self.cache(*cache), callback, data(), destroy));
                }
                Call::OnLog(cache, level, is_set) => {
                    let callback: tc_log_fn = if *is_set { Some(on_log) } else { None };
                    let (cache, level) = (self.cache(*cache), tc_level((*level).into()));
                    promises_an_end(|destroy| tc_on_log(cache, level, callback, data(), destroy));
                }
                other => unreachable!("{other:?}"),
            }
        }
    }

    /// An open or a closed one, null, or one that never was.
    fn cache(&self, which: u8) -> *mut tc_cache {
        match which {
            250..=254 => (u64::from(which) * 0x0101_0101_0101_0101) as *mut tc_cache,
            _ if which == 255 || self.caches.is_empty() => ptr::null_mut(),
            _ => self.caches[usize::from(which) % self.caches.len()].0,
        }
    }

    fn value(&self, which: u8) -> *const tc_value {
        if self.values.is_empty() { ptr::null() } else { self.values[usize::from(which) % self.values.len()] }
    }

    unsafe fn open(&mut self, abi: u8, document: &Document, has_output: bool) {
        if self.caches.iter().filter(|(_, is_open)| *is_open).count() == MOST_OPEN {
            return;
        }
        let (document, mut cache) = (document.given(), ptr::null_mut());
        let abi = if abi < 240 { TC_ABI_VERSION } else { abi.into() };
        let output = if has_output { &raw mut cache } else { ptr::null_mut() };
        // SAFETY: as in `run`.
        let status = unsafe { tc_open(abi, document.text(), document.len, output) };
        said(status);
        assert_eq!(status == tc_status::TC_OK, !cache.is_null(), "{status:?}");
        self.caches.extend((!cache.is_null()).then_some((cache, true)));
    }

    unsafe fn close(&mut self, cache: *mut tc_cache) {
        // SAFETY: a handle may be anything.
        let status = unsafe { tc_close(cache) };
        said(status);
        let known = self.caches.iter_mut().find(|(it, _)| *it == cache);
        let was_open = known.is_some_and(|(_, is_open)| std::mem::take(is_open));
        assert_eq!(was_open, status != tc_status::TC_INVALID_HANDLE, "{status:?}");
    }

    unsafe fn set(&mut self, cache: u8, key: &Key, bytes: &Bytes, options: &Options, has_version: bool) {
        let (key, bytes, options) = (key.given(), bytes.given(), options.given(self.last_version));
        let options = options.as_ref().map_or(ptr::null(), ptr::from_ref);
        let mut version = 0;
        let output = if has_version { &raw mut version } else { ptr::null_mut() };
        let (cache, text) = (self.cache(cache), key.text());
        // SAFETY: as in `run`.
        said(unsafe { tc_set(cache, text, key.len, bytes.bytes(), bytes.len, options, output) });
        self.last_version = if version == 0 { self.last_version } else { version };
    }

    /// What was set without an end is there, where that is no matter of L2.
    unsafe fn set_and_get(&mut self, cache: u8, key: u8, bytes: &[u8]) {
        let (cache, key) = (self.cache(cache), Key::Known(key).given());
        let (text, data) = (key.text(), bytes.as_ptr().cast());
        // Not the configured lifetime, and off L2.
        let options = tc_set_options {
            struct_size: size_of::<tc_set_options>(),
            ttl_ms: TC_NEVER,
            expires_at_ms: 0,
            sliding_ms: 0,
            expected_version: 0,
            flags: TC_LOCAL_ONLY,
        };
        // SAFETY: as in `run`.
        let status =
            unsafe { tc_set(cache, text, key.len, data, bytes.len(), &raw const options, ptr::null_mut()) };
        said(status);
        if status != tc_status::TC_OK {
            return;
        }
        // SAFETY: as in `run`.
        let read = self.keep(Output::Good, |out| unsafe { tc_get(cache, text, key.len, out) });
        assert_eq!(read, tc_status::TC_OK, "it was set just now: {}", last_error());
        assert_eq!(contents(*self.values.last().expect("a value")), bytes);
    }

    unsafe fn get_into(&mut self, cache: u8, key: &Key, room: Option<u16>, has_output: bool) {
        let (cache, key) = (self.cache(cache), key.given());
        let mut buffer = room.map(|room| vec![0xA5_u8; room.into()].into_boxed_slice());
        let (at, room) = buffer.as_mut().map_or((ptr::null_mut(), 0), |it| (it.as_mut_ptr(), it.len()));
        let mut len = usize::MAX;
        let output = if has_output { &raw mut len } else { ptr::null_mut() };
        // SAFETY: as in `run`.
        let status = unsafe { tc_get_into(cache, key.text(), key.len, at.cast(), room, output) };
        said(status);
        let is_there = matches!(status, tc_status::TC_OK | tc_status::TC_DEGRADED);
        assert!(!is_there || len <= room, "{len} bytes in {room}");
    }

    unsafe fn protect_and_back(&mut self, cache: u8, key: &Key, bytes: &[u8]) {
        let (cache, key) = (self.cache(cache), key.given());
        let (text, data) = (key.text(), bytes.as_ptr().cast());
        // SAFETY: as in `run`.
        let sealed = self
            .keep(Output::Good, |out| unsafe { tc_protect(cache, text, key.len, data, bytes.len(), out) });
        if sealed != tc_status::TC_OK {
            return;
        }
        let envelope = contents(*self.values.last().expect("an envelope")).to_vec();
        let (data, len) = (envelope.as_ptr().cast(), envelope.len());
        // SAFETY: as in `run`.
        let opened =
            self.keep(Output::Good, |out| unsafe { tc_unprotect(cache, text, key.len, data, len, out) });
        assert_eq!(opened, tc_status::TC_OK, "{}", last_error());
        assert_eq!(contents(*self.values.last().expect("a value")), bytes);
    }

    /// Keeps the value that `call` gives, whose bytes can all be read.
    fn keep(&mut self, output: Output, call: impl FnOnce(*mut *const tc_value) -> tc_status) -> tc_status {
        let mut place = Place::new(output);
        let status = call(place.at());
        said(status);
        let value = place.value();
        assert_eq!(
            matches!(status, tc_status::TC_OK | tc_status::TC_DEGRADED),
            !value.is_null(),
            "{status:?}"
        );
        if !value.is_null() {
            std::hint::black_box(contents(value).iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
            self.values.push(value);
        }
        status
    }

    /// Closes all; then every promise has been kept, and values are still what they were.
    fn end(&mut self) {
        let open: Vec<_> = self.caches.iter().filter(|(_, is_open)| *is_open).map(|(it, _)| *it).collect();
        for cache in open {
            // SAFETY: a handle that is open.
            unsafe { self.close(cache) };
        }
        for value in self.values.drain(..) {
            std::hint::black_box(contents(value).len());
            // SAFETY: our own reference.
            unsafe { tc_value_release(value) };
        }
        promises::are_kept();
    }
}

/// A status that a call may answer with; a failure has a sentence.
fn said(status: tc_status) {
    assert_ne!(status, tc_status::TC_PANIC, "{}", last_error());
    assert!(status as i32 >= 0 || !last_error().is_empty(), "{status:?} without a sentence");
}

fn last_error() -> &'static str {
    // SAFETY: never null, and there until the next failure of this thread.
    unsafe { CStr::from_ptr(tc_last_error()) }.to_str().expect("UTF-8")
}

fn contents<'a>(value: *const tc_value) -> &'a [u8] {
    // SAFETY: a value of which we have a reference.
    let value = unsafe { &*value };
    assert!(!value.data.is_null() || value.len == 0);
    if value.len == 0 {
        return &[];
    }
    // SAFETY: so many bytes are there as long as the reference is.
    unsafe { std::slice::from_raw_parts(value.data.cast(), value.len) }
}
