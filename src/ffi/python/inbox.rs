//! The answers that an event loop waits for. Threads of the library put them in, which never touch Python; the loop hears
//! of the first by a descriptor, and takes out all that have come.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, CString, c_int, c_uint, c_ulonglong, c_void};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use super::{Method, NO_ARGUMENT, Object, PYTHON, Python, tc_python, the_one};
use crate::error::{Error, Kind};
use crate::ffi::guard::guard;
use crate::ffi::types::{tc_done_fn, tc_result, tc_status, tc_value};
use crate::ffi::value::{tc_value_release, tc_value_retain};
use crate::ffi::{arguments, fork};
use crate::runtime::lock;

/// For CPython alone, and with its lock held: makes an inbox for the answers to asynchronous calls. Such a call is given
/// `tc_python_done`, and as `user_data` the sum of `*out_first` and a number below 2^32 of the caller's.
///
/// `*out_descriptor` can be read, as `poll` says, while there are answers; it is the library's, to be neither read nor closed.
/// `*out_take`, a new reference, is a function object without arguments that takes one out:
/// `(number, status, version, value, message)`, or `None`. A value is `bytes`; where the number is odd, a capsule named
/// `tokencache.value`, which holds a reference to the `tc_value` that it points to. Value and message, `bytes` as well, are
/// `None` where there are none.
///
/// The inbox goes with the function object; what comes for it later is let go.
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
        let (number, descriptor) = (NEXT.fetch_add(1, Ordering::Relaxed), bell.as_raw_fd());
        lock(&INBOXES).insert(number, Inbox { answers: VecDeque::new(), bell });
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
                message: (!message.is_empty()).then(|| message.to_owned()),
            },
        );
    };
    if let Err(panic) = catch_unwind(put) {
        std::mem::forget(panic);
    }
}

/// Whether it is `tc_python_done`, which may be called on any thread.
pub fn is_for_inbox(done: tc_done_fn) -> bool {
    done.is_some_and(|done| ptr::fn_addr_eq(done, tc_python_done as unsafe extern "C" fn(_, _)))
}

struct Inbox {
    answers: VecDeque<Answer>,
    /// Readable while there are answers.
    bell: OwnedFd,
}

struct Answer {
    number: u32,
    status: tc_status,
    version: u64,
    value: Value,
    message: Option<CString>,
}

/// A reference to a value, or null.
struct Value(*const tc_value);

// SAFETY: values are counted, and read, on any thread.
unsafe impl Send for Value {}

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

/// Lets go of them; the child has none, for the loops that they are of are its parent's.
pub fn after_fork(is_child: bool) {
    let Some(mut inboxes) = HELD.take().map(ManuallyDrop::into_inner) else { return };
    if is_child {
        for (_, inbox) in std::mem::take(&mut *inboxes) {
            // Not their values: what frees those may be locked by a thread that is not here.
            std::mem::forget(inbox.answers);
        }
    }
}

fn put(inbox: u32, answer: Answer) {
    let mut inboxes = lock(&INBOXES);
    // Its loop is gone: nobody waits. The answer is dropped after the lock.
    let Some(inbox) = inboxes.get_mut(&inbox) else { return };
    let is_first = inbox.answers.is_empty();
    inbox.answers.push_back(answer);
    if is_first {
        let _ = rustix::io::write(&inbox.bell, &1_u64.to_ne_bytes());
    }
}

fn next(inbox: u32) -> Option<Answer> {
    let mut inboxes = lock(&INBOXES);
    let inbox = inboxes.get_mut(&inbox)?;
    let next = inbox.answers.pop_front();
    if next.is_none() {
        let _ = rustix::io::read(&inbox.bell, &mut [0; 8]);
    }
    next
}

fn put_back(inbox: u32, answer: Answer) {
    if let Some(inbox) = lock(&INBOXES).get_mut(&inbox) {
        inbox.answers.push_front(answer);
    }
}

fn close_number(inbox: u32) {
    let closed = lock(&INBOXES).remove(&inbox);
    drop(closed);
}

/// What the function object does.
///
/// # Safety
/// Python calls it, as it calls any function.
unsafe extern "C" fn take(this: Object, _: Object) -> Object {
    let Some(python) = PYTHON.get() else { return ptr::null_mut() };
    // SAFETY: Python holds its lock, and `this`, during the call.
    let taken = catch_unwind(AssertUnwindSafe(|| unsafe {
        let inbox = (python.capsule_get_pointer)(this, INBOX.as_ptr()).addr() as u32;
        let answer = next(inbox)?;
        let object = answer.object(python);
        if object.is_null() {
            // Python has raised that it has no memory. The answer waits until it has.
            put_back(inbox, answer);
        }
        Some(object)
    }));
    // SAFETY: as above.
    taken.ok().flatten().unwrap_or_else(|| unsafe { python.none() })
}

static TAKE: Method = Method { name: c"take".as_ptr(), call: take, flags: NO_ARGUMENT, doc: ptr::null() };

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
        // SAFETY: the value lives as long as `self`; each argument has the type that its letter says, and `N` takes the
        // reference that was made for it, also where the tuple cannot be made.
        unsafe {
            let value = self.value_object(python);
            if value.is_null() {
                return value;
            }
            let message = self.message.as_ref().map_or(ptr::null(), |message| message.as_ptr());
            (python.build_value)(
                c"(IiKNy)".as_ptr(),
                self.number as c_uint,
                self.status as c_int,
                self.version as c_ulonglong,
                value,
                message,
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
