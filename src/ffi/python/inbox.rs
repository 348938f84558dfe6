//! The answers that an event loop waits for. Threads of the library put them in, which never touch Python; the loop hears
//! of the first by a descriptor, and takes out all that have come. An answer stays until the loop says that it was told, so
//! that none is lost to what Python raises in between: by a signal handler, or because it has no memory.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, c_int, c_uint, c_ulonglong, c_void};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rustix::event::{EventfdFlags, eventfd};

use super::{Method, ONE_ARGUMENT, Object, PYTHON, Python, tc_python, the_one};
use crate::error::{Error, Kind};
use crate::ffi::guard::guard;
use crate::ffi::types::{tc_result, tc_status, tc_value};
use crate::ffi::value::{tc_value_release, tc_value_retain};
use crate::ffi::{arguments, fork};
use crate::runtime::lock;

/// For CPython alone, and with its lock held: makes an inbox for the answers to asynchronous calls. Such a call is given
/// `tc_python_done`, and as `user_data` the sum of `*out_first` and a number below 2^32 of the caller's.
///
/// `*out_descriptor` can be read, as `poll` says, while there are answers; it is the library's, to be neither read nor closed.
/// `*out_take`, a new reference, is a function object that returns the oldest answer,
/// `(number, status, version, value, message)`, or `None`. Called with `None` it leaves the answer where it is; called with
/// the number of the oldest it takes that out first. A value is `bytes`; where the number is odd, a capsule named
/// `tokencache.value`, which holds a reference to the `tc_value` that it points to. Value and message, `bytes` as well, are
/// `None` where there are none. A value that Python has no memory for is told as `TC_OUT_OF_MEMORY`.
///
/// The inbox goes with the function object; what comes for it later is let go. One that a forked child inherits is empty
/// there for ever.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_python_inbox(
    python: *const tc_python,
    out_descriptor: *mut i32,
    out_first: *mut u64,
    out_take: *mut *mut c_void,
) -> tc_status {
    guard(|| {
        arguments::output("out_descriptor", out_descriptor)?;
        arguments::output("out_first", out_first)?;
        arguments::output("out_take", out_take)?;
        // SAFETY: by the caller's contract.
        let python = the_one(unsafe { arguments::python(python) }?)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|error| {
            Error::new(Kind::OutOfMemory, format!("No descriptor could be made for an event loop: {error}."))
        })?;
        let descriptor = bell.as_raw_fd();
        let number = open(bell);
        // SAFETY: by the caller's contract Python's lock is held; the outputs were checked.
        unsafe {
            let address = ptr::without_provenance_mut(number as usize);
            let this = (python.capsule_new)(address, INBOX.as_ptr(), close);
            if this.is_null() {
                close_number(number);
            }
            out_take.write(python.function(&TAKE, this)?);
            out_descriptor.write(descriptor);
            out_first.write(u64::from(number) << 32);
        }
        Ok(tc_status::TC_OK)
    })
}

/// The `done` of calls whose answers are for an inbox of `tc_python_inbox`. It waits for nothing, and may be called inside
/// the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tc_python_done(user_data: *mut c_void, result: *const tc_result) {
    let put = || {
        // SAFETY: by the contract of `tc_done_fn`.
        let Some(result) = (unsafe { result.as_ref() }) else { return };
        // SAFETY: as above; a message is never null.
        let message = unsafe { CStr::from_ptr(result.message) };
        let (inbox, number) = ((user_data as u64 >> 32) as u32, user_data as u64 as u32);
        put(
            inbox,
            Answer {
                number,
                status: result.status,
                version: result.version,
                // SAFETY: as above.
                value: Value(unsafe { tc_value_retain(result.value) }),
                message: (!message.is_empty()).then(|| message.into()),
            },
        );
    };
    if let Err(panic) = catch_unwind(put) {
        std::mem::forget(panic);
    }
}

/// Whether it is `tc_python_done`, which may be called on any thread.
pub fn is_for_inbox(done: unsafe extern "C" fn(*mut c_void, *const tc_result)) -> bool {
    ptr::fn_addr_eq(done, tc_python_done as unsafe extern "C" fn(_, _))
}

struct Inbox {
    /// `None` in a forked child that has inherited it: they are the parent's.
    answers: Option<VecDeque<Answer>>,
    /// Readable while there are answers. A child keeps it: a loop that it has inherited too believes to be told of what
    /// has that number.
    bell: OwnedFd,
}

#[derive(Clone)]
struct Answer {
    number: u32,
    status: tc_status,
    version: u64,
    value: Value,
    message: Option<Arc<CStr>>,
}

/// A reference to a value, or null.
struct Value(*const tc_value);

// SAFETY: values are counted, and read, on any thread.
unsafe impl Send for Value {}

impl Clone for Value {
    fn clone(&self) -> Value {
        // SAFETY: it lives as long as `self`.
        Value(unsafe { tc_value_retain(self.0) })
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: the reference that this stands for.
        unsafe { tc_value_release(self.0) };
    }
}

static INBOXES: Mutex<Inboxes> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU32 = AtomicU32::new(1);
/// The names of capsules.
const INBOX: &CStr = c"tokencache.inbox";
const VALUE: &CStr = c"tokencache.value";

type Inboxes = BTreeMap<u32, Inbox>;

thread_local! {
    // Without a destructor, as for the handles.
    static HELD: Cell<Option<ManuallyDrop<fork::Held<Inboxes>>>> = const { Cell::new(None) };
}

/// Holds all inboxes, so that no child finds them locked.
pub fn before_fork() {
    HELD.set(Some(ManuallyDrop::new(lock(&INBOXES))));
}

/// Lets go of them; in the child they have no answers, for those are its parent's.
pub fn after_fork(is_child: bool) {
    let Some(mut inboxes) = HELD.take().map(ManuallyDrop::into_inner) else { return };
    if is_child {
        for inbox in inboxes.values_mut() {
            // Not their values: what frees those may be locked by a thread that is not here.
            std::mem::forget(inbox.answers.take());
        }
    }
}

/// A new inbox. Its number may come again after four billion others, and not to a second one while it is open.
fn open(bell: OwnedFd) -> u32 {
    let mut inboxes = lock(&INBOXES);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // A capsule holds no null.
        if number != 0 && !inboxes.contains_key(&number) {
            inboxes.insert(number, Inbox { answers: Some(VecDeque::new()), bell });
            return number;
        }
    }
}

fn put(inbox: u32, answer: Answer) {
    let mut inboxes = lock(&INBOXES);
    // Its loop is gone: nobody waits. The answer is dropped after the lock.
    let Some(Inbox { answers: Some(answers), bell }) = inboxes.get_mut(&inbox) else { return };
    let is_first = answers.is_empty();
    answers.push_back(answer);
    if is_first {
        let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
    }
}

/// The oldest answer, when that of number `told` is gone.
fn next(inbox: u32, told: Option<u32>) -> Option<Answer> {
    let mut inboxes = lock(&INBOXES);
    let Some(Inbox { answers: Some(answers), bell }) = inboxes.get_mut(&inbox) else { return None };
    let is_told = answers.front().is_some_and(|oldest| told == Some(oldest.number));
    let gone = if is_told { answers.pop_front() } else { None };
    let next = answers.front().cloned();
    if next.is_none() {
        let _ = rustix::io::read(bell, &mut [0; 8]);
    }
    drop(inboxes);
    drop(gone);
    next
}

fn close_number(inbox: u32) {
    let closed = lock(&INBOXES).remove(&inbox);
    drop(closed);
}

/// What the function object does: `told` is the number of what was told, or `None`.
///
/// # Safety
/// Python calls it, as it calls any function.
unsafe extern "C" fn take(this: Object, told: Object) -> Object {
    let Some(python) = PYTHON.get() else { return ptr::null_mut() };
    // SAFETY: Python holds its lock, and both objects, during the call.
    let taken = catch_unwind(AssertUnwindSafe(|| unsafe {
        let inbox = (python.capsule_get_pointer)(this, INBOX.as_ptr()).addr() as u32;
        let told = (told != python.none).then(|| python.number(told)).flatten();
        Some(next(inbox, told)?.object(python))
    }));
    // SAFETY: as above.
    taken.ok().flatten().unwrap_or_else(|| unsafe { python.none() })
}

static TAKE: Method = Method { name: c"take".as_ptr(), call: take, flags: ONE_ARGUMENT, doc: ptr::null() };

/// The destructor of an inbox.
///
/// # Safety
/// Python calls it.
unsafe extern "C" fn close(capsule: Object) {
    let Some(python) = PYTHON.get() else { return };
    // SAFETY: Python holds its lock during the call.
    let number = unsafe { (python.capsule_get_pointer)(capsule, INBOX.as_ptr()) }.addr();
    if let Err(panic) = catch_unwind(|| close_number(number as u32)) {
        std::mem::forget(panic);
    }
}

/// The destructor of a value.
///
/// # Safety
/// Python calls it.
unsafe extern "C" fn release(capsule: Object) {
    if let Some(python) = PYTHON.get() {
        // SAFETY: Python holds its lock during the call; the capsule has one reference to the value.
        unsafe { tc_value_release((python.capsule_get_pointer)(capsule, VALUE.as_ptr()).cast()) };
    }
}

impl Answer {
    /// What Python is given; null when it has no memory for it, and has raised that.
    ///
    /// # Safety
    /// Python's lock is held.
    unsafe fn object(&self, python: &Python) -> Object {
        let (mut status, mut version) = (self.status, self.version);
        let mut message = self.message.as_deref();
        // SAFETY: the value lives as long as `self`; each argument has the type that its letter says, and `N` takes the
        // reference that was made for it, also where the tuple cannot be made.
        unsafe {
            let mut value = self.value_object(python);
            if value.is_null() {
                // It may be too large for ever, and others wait behind it.
                (python.err_clear)();
                (status, version, value) = (tc_status::TC_OUT_OF_MEMORY, 0, python.none());
                message = Some(c"Python has no memory for the value.");
            }
            (python.build_value)(
                c"(IiKNy)".as_ptr(),
                self.number as c_uint,
                status as c_int,
                version as c_ulonglong,
                value,
                message.map_or(ptr::null(), CStr::as_ptr),
            )
        }
    }

    /// # Safety
    /// As above.
    unsafe fn value_object(&self, python: &Python) -> Object {
        // SAFETY: as above.
        unsafe {
            match self.value.0.as_ref() {
                None => python.none(),
                Some(value) if self.number.is_multiple_of(2) => {
                    python.bytes(std::slice::from_raw_parts(value.data.cast(), value.len))
                }
                Some(_) => {
                    let capsule =
                        (python.capsule_new)(self.value.0.cast_mut().cast(), VALUE.as_ptr(), release);
                    if !capsule.is_null() {
                        tc_value_retain(self.value.0);
                    }
                    capsule
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bell() -> OwnedFd {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("a descriptor is free")
    }

    #[test]
    fn a_number_that_comes_again_is_nobodys_but_a_new_inboxs() {
        let held = [open(bell()), open(bell())];
        for next in [0, held[0], held[1]] {
            NEXT.store(next, Ordering::Relaxed);
            let number = open(bell());
            assert!(number != 0 && !held.contains(&number), "{number}");
            close_number(number);
        }
        held.into_iter().for_each(close_number);
    }
}
