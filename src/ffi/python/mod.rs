//! What CPython calls as functions of its own: `ctypes` takes longer to pass two arguments than a dictionary of Python
//! takes to answer, and a callback of it waits for Python's lock.
//!
//! The library is not linked against Python. It is told where the few functions are that it needs, of the stable ABI:
//! <https://docs.python.org/3/c-api/stable.html>.

mod hit;
pub(super) mod inbox;

use std::ffi::{c_char, c_int, c_ulong, c_void};
use std::mem::offset_of;
use std::ptr;
use std::sync::OnceLock;

use super::arguments;
use crate::error::{Error, Kind, Result};

pub use hit::tc_python_hit;
pub use inbox::{tc_python_done, tc_python_inbox};

/// Where CPython keeps what the functions for it call: each member is the address of what it is named after, and none is
/// null.
#[repr(C)]
pub struct tc_python {
    /// `sizeof(tc_python)`
    pub struct_size: usize,
    /// `Py_None`
    pub none: *mut c_void,
    /// `PyUnicode_Type`
    pub str_type: *mut c_void,
    /// `PyBytes_Type`
    pub bytes_type: *mut c_void,
    /// `PyObject_Type`
    pub object_type: *mut c_void,
    /// `Py_IncRef`
    pub inc_ref: *mut c_void,
    /// `Py_DecRef`
    pub dec_ref: *mut c_void,
    /// `PyUnicode_AsUTF8AndSize`
    pub unicode_as_utf8_and_size: *mut c_void,
    /// `PyBytes_AsString`
    pub bytes_as_string: *mut c_void,
    /// `PyBytes_Size`
    pub bytes_size: *mut c_void,
    /// `PyBytes_FromStringAndSize`
    pub bytes_from_string_and_size: *mut c_void,
    /// `PyCFunction_NewEx`
    pub cfunction_new_ex: *mut c_void,
    /// `PyErr_Clear`
    pub err_clear: *mut c_void,
    /// `PyCapsule_New`
    pub capsule_new: *mut c_void,
    /// `PyCapsule_GetPointer`
    pub capsule_get_pointer: *mut c_void,
    /// `Py_BuildValue`
    pub build_value: *mut c_void,
    /// `PyLong_AsUnsignedLongMask`
    pub long_as_unsigned_long_mask: *mut c_void,
}

/// `PyObject *`.
type Object = *mut c_void;

/// `PyMethodDef`.
#[repr(C)]
struct Method {
    name: *const c_char,
    call: unsafe extern "C" fn(Object, Object) -> Object,
    flags: c_int,
    doc: *const c_char,
}

// SAFETY: nobody writes to it.
unsafe impl Sync for Method {}

/// `METH_O`.
const ONE_ARGUMENT: c_int = 8;

/// `tc_python`, with the types that its functions have.
#[repr(C)]
struct Python {
    struct_size: usize,
    none: Object,
    str_type: Object,
    bytes_type: Object,
    object_type: unsafe extern "C" fn(Object) -> Object,
    inc_ref: unsafe extern "C" fn(Object),
    dec_ref: unsafe extern "C" fn(Object),
    unicode_as_utf8_and_size: unsafe extern "C" fn(Object, *mut isize) -> *const c_char,
    bytes_as_string: unsafe extern "C" fn(Object) -> *const c_char,
    bytes_size: unsafe extern "C" fn(Object) -> isize,
    bytes_from_string_and_size: unsafe extern "C" fn(*const c_char, isize) -> Object,
    cfunction_new_ex: unsafe extern "C" fn(*const Method, Object, Object) -> Object,
    err_clear: unsafe extern "C" fn(),
    capsule_new: unsafe extern "C" fn(*mut c_void, *const c_char, unsafe extern "C" fn(Object)) -> Object,
    capsule_get_pointer: unsafe extern "C" fn(Object, *const c_char) -> *mut c_void,
    build_value: unsafe extern "C" fn(*const c_char, ...) -> Object,
    long_as_unsigned_long_mask: unsafe extern "C" fn(Object) -> c_ulong,
}

const _: () = {
    assert!(size_of::<Python>() == size_of::<tc_python>());
    assert!(
        offset_of!(Python, long_as_unsigned_long_mask) == offset_of!(tc_python, long_as_unsigned_long_mask)
    );
};

// SAFETY: its objects live as long as Python, whose lock is held where they are used.
unsafe impl Send for Python {}
// SAFETY: as above.
unsafe impl Sync for Python {}

static PYTHON: OnceLock<Python> = OnceLock::new();

/// The Python of this process: the first that was named.
fn the_one(named: &tc_python) -> Result<&'static Python> {
    let python = PYTHON.get_or_init(|| Python::new(named));
    if python.none == named.none {
        return Ok(python);
    }
    Err(arguments::invalid("python is another one than the first that this process named."))
}

impl Python {
    fn new(named: &tc_python) -> Python {
        // SAFETY: laid out alike, and by the contract of `tc_python` each is the address of what it is named after.
        unsafe { ptr::from_ref(named).cast::<Python>().read() }
    }

    /// A new reference.
    ///
    /// # Safety
    /// Python's lock is held.
    unsafe fn none(&self) -> Object {
        // SAFETY: it is an object.
        unsafe { (self.inc_ref)(self.none) };
        self.none
    }

    /// The number that `object` is; `None` for what is none.
    ///
    /// # Safety
    /// Python's lock is held.
    unsafe fn number(&self, object: Object) -> Option<u32> {
        // SAFETY: it is an object.
        let number = unsafe { (self.long_as_unsigned_long_mask)(object) };
        if number == c_ulong::MAX {
            // SAFETY: Python's lock is held. It has raised, where it is no integer.
            unsafe { (self.err_clear)() };
        }
        u32::try_from(number).ok()
    }

    /// New bytes; null when there is no memory for them, which Python raises then.
    ///
    /// # Safety
    /// Python's lock is held.
    unsafe fn bytes(&self, data: &[u8]) -> Object {
        // SAFETY: as many can be read, and no slice is longer than `isize` counts.
        unsafe { (self.bytes_from_string_and_size)(data.as_ptr().cast(), data.len().cast_signed()) }
    }

    /// A new function object that calls `method` with `this`, a new object that it keeps.
    ///
    /// # Safety
    /// Python's lock is held; `this` is a reference of the caller's, or null where there was no memory for it.
    unsafe fn function(&self, method: &'static Method, this: Object) -> Result<Object> {
        // SAFETY: the function object holds `this` itself, so that the caller's reference is one too many.
        let function = unsafe {
            if this.is_null() {
                this
            } else {
                let function = (self.cfunction_new_ex)(method, this, ptr::null_mut());
                (self.dec_ref)(this);
                function
            }
        };
        if function.is_null() {
            // SAFETY: Python's lock is held.
            unsafe { (self.err_clear)() };
            return Err(Error::new(Kind::OutOfMemory, "Python has no memory for a function object."));
        }
        Ok(function)
    }

    /// The key that `object` is: a str's UTF-8, or bytes. `None` for what is none.
    ///
    /// # Safety
    /// Python's lock is held, and `object` lives as long as what is returned.
    unsafe fn key<'a>(&self, object: Object) -> Option<&'a [u8]> {
        // SAFETY: its own type decides what is asked of it, and what is answered lives as long as it does.
        unsafe {
            let kind = (self.object_type)(object);
            (self.dec_ref)(kind);
            let mut len = 0;
            let data = if kind == self.str_type {
                (self.unicode_as_utf8_and_size)(object, &raw mut len)
            } else if kind == self.bytes_type {
                len = (self.bytes_size)(object);
                (self.bytes_as_string)(object)
            } else {
                return None;
            };
            if data.is_null() {
                // Half of a surrogate pair has no UTF-8.
                (self.err_clear)();
                return None;
            }
            arguments::key(data, usize::try_from(len).ok()?).ok()
        }
    }
}
