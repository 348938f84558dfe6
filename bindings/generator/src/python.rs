//! The ctypes module.

use std::fmt::Write;

use cbindgen::Bindings;
use cbindgen::bindgen::ir::{Documentation, IntKind, PrimitiveType, Type};

use crate::api::{self, Named};

const PROLOGUE: &str = r#"
from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, Structure
from ctypes import c_char_p, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from enum import IntEnum

# Given as a length: the text before it ends with a NUL.
NTS = c_size_t(-1).value
"#;

const LOAD: &str = r#"

def load(path: str) -> ctypes.CDLL:
    """Load the library and give every function its signature.

    A function that is missing is found here rather than at its first call: the library is another one, or older than
    this module.
    """
    # CDLL lets go of the interpreter's lock during a call. PyDLL does not, and a callback would wait for it for ever.
    library = ctypes.CDLL(path)
    for name, (restype, argtypes) in SIGNATURES.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError(
                f"{path} has no function {name}: it is not the Tokencache library that this module was made for."
            ) from None
        function.restype = restype
        function.argtypes = argtypes
    return library
"#;

/// Writes `_native.py`.
pub fn write(bindings: &Bindings) -> Result<String, String> {
    let mut out =
        format!("\"\"\"The C ABI of Tokencache, for ctypes.\n\n{}\n\"\"\"\n{PROLOGUE}", crate::NOTICE);
    constants(bindings, &mut out)?;
    enumerations(bindings, &mut out)?;
    types(bindings, &mut out)?;
    signatures(bindings, &mut out)?;
    out.push_str(LOAD);
    Ok(out)
}

fn constants(bindings: &Bindings, out: &mut String) -> Result<(), String> {
    for constant in api::constants(bindings) {
        comment(&constant.documentation, "", out);
        let value = match api::literal(&constant.value)?.as_str() {
            "u64::MAX" => "0xFFFF_FFFF_FFFF_FFFF".to_string(),
            number => number.to_string(),
        };
        line(out, format_args!("{} = {value}", api::strip(&constant.export_name)));
    }
    Ok(())
}

fn enumerations(bindings: &Bindings, out: &mut String) -> Result<(), String> {
    for enumeration in api::enumerations(bindings)? {
        line(out, format_args!("\n\nclass {}(IntEnum):", api::pascal(enumeration.name)));
        docstring(enumeration.doc, out);
        for member in &enumeration.members {
            comment(member.doc, "    ", out);
            line(out, format_args!("    {} = {}", member.short_name(&enumeration), member.value));
        }
    }
    Ok(())
}

/// Structs, then the callbacks that point to them.
fn types(bindings: &Bindings, out: &mut String) -> Result<(), String> {
    for it in api::structs(bindings) {
        line(out, format_args!("\n\nclass {}(Structure):", api::pascal(it.path.name())));
        docstring(&it.documentation, out);
        out.push_str("    _fields_ = [\n");
        for field in &it.fields {
            comment(&field.documentation, "        ", out);
            // ctypes turns a c_char_p member into bytes that stop at the first NUL, and a key may hold one.
            let counted = it.fields.iter().any(|other| other.name == format!("{}_len", field.name));
            let ty = if counted { "c_void_p".to_string() } else { ctype(bindings, &field.ty)? };
            line(out, format_args!("        (\"{}\", {ty}),", field.name));
        }
        out.push_str("    ]\n");
    }
    out.push('\n');
    for callback in api::callbacks(bindings) {
        out.push('\n');
        comment(callback.doc, "", out);
        let mut types = vec![ctype(bindings, callback.ret)?];
        for (_, ty) in callback.args {
            types.push(ctype(bindings, ty)?);
        }
        line(out, format_args!("{} = CFUNCTYPE({})", api::pascal(callback.name), types.join(", ")));
    }
    Ok(())
}

fn signatures(bindings: &Bindings, out: &mut String) -> Result<(), String> {
    out.push_str("\n# Every function: what it returns, and what it takes.\nSIGNATURES = {\n");
    for function in &bindings.functions {
        comment(&function.documentation, "    ", out);
        let mut types = Vec::new();
        for argument in &function.args {
            types.push(ctype(bindings, &argument.ty)?);
        }
        let name = function.path.name();
        let one_line =
            format!("    \"{name}\": ({}, [{}]),", ctype(bindings, &function.ret)?, types.join(", "));
        if one_line.len() <= 120 {
            line(out, format_args!("{one_line}"));
        } else {
            line(out, format_args!("    \"{name}\": ("));
            line(out, format_args!("        {},", ctype(bindings, &function.ret)?));
            line(out, format_args!("        [{}],\n    ),", types.join(", ")));
        }
    }
    out.push_str("}\n");
    Ok(())
}

fn ctype(bindings: &Bindings, ty: &Type) -> Result<String, String> {
    let text = match ty {
        _ if api::is_text(ty) => "c_char_p",
        Type::Primitive(PrimitiveType::Void) => "None",
        Type::Primitive(PrimitiveType::Integer { kind: IntKind::Size, signed: false, .. }) => "c_size_t",
        Type::Primitive(PrimitiveType::Integer { kind: IntKind::B32, signed, .. }) => {
            if *signed {
                "c_int32"
            } else {
                "c_uint32"
            }
        }
        Type::Primitive(PrimitiveType::Integer { kind: IntKind::B64, signed, .. }) => {
            if *signed {
                "c_int64"
            } else {
                "c_uint64"
            }
        }
        Type::Ptr { ty, .. } if matches!(**ty, Type::Primitive(PrimitiveType::Void)) => "c_void_p",
        Type::Ptr { ty: inner, .. } => match &**inner {
            Type::Path(path) if matches!(api::named(bindings, path.name())?, Named::Opaque) => "c_void_p",
            inner => return Ok(format!("POINTER({})", ctype(bindings, inner)?)),
        },
        Type::Path(path) => match api::named(bindings, path.name())? {
            Named::Number => "c_int32",
            _ => return Ok(api::pascal(path.name())),
        },
        other => return Err(format!("The Python emitter has no words for {other:?}.")),
    };
    Ok(text.to_string())
}

fn docstring(doc: &Documentation, out: &mut String) {
    let lines: Vec<_> = api::lines(doc).collect();
    let end = if lines.len() > 1 { "\n    " } else { "" };
    line(out, format_args!("    \"\"\"{}{end}\"\"\"\n", lines.join("\n    ")));
}

fn comment(doc: &Documentation, indent: &str, out: &mut String) {
    for text in api::lines(doc) {
        line(out, format_args!("{}", format!("{indent}# {text}").trim_end()));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments) {
    writeln!(out, "{text}").expect("a String takes every write");
}
