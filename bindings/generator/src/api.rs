//! The parsed ABI in the words that both emitters use: what a type is, what belongs together, how a name is spelled.

use cbindgen::Bindings;
use cbindgen::bindgen::ir::{
    Constant, Documentation, ItemContainer, Literal, OpaqueItem, PrimitiveType, Struct, Type,
};

/// A set of named numbers: a Rust enum, or an open integer with the constants named after it.
pub struct Enumeration<'a> {
    pub name: &'a str,
    pub doc: &'a Documentation,
    pub members: Vec<Member<'a>>,
}

/// One named number of an enumeration.
pub struct Member<'a> {
    pub c_name: &'a str,
    pub value: i64,
    pub doc: &'a Documentation,
}

impl Member<'_> {
    /// `TC_TIER_L1` in `tc_tier` is `L1`; `TC_OK` in `tc_status` is `OK`.
    pub fn short_name(&self, enumeration: &Enumeration) -> String {
        let prefix = enumeration.name.to_uppercase() + "_";
        self.c_name.strip_prefix(&prefix).unwrap_or(strip(self.c_name)).to_string()
    }
}

/// Turns what Rust must write as a struct into what C means by it: a handle, whose zero-length member is not C, and an
/// open integer, whose wrapper has no name in C.
pub fn simplify(bindings: &mut Bindings) {
    for item in &mut bindings.items {
        let ItemContainer::Struct(it) = &*item else { continue };
        if let Some(typedef) = it.as_typedef() {
            *item = ItemContainer::Typedef(typedef);
        } else if it.fields.iter().all(|field| field.name == "_private") {
            *item = ItemContainer::OpaqueItem(OpaqueItem::new(
                it.path.clone(),
                it.generic_params.clone(),
                it.cfg.clone(),
                it.annotations.clone(),
                it.documentation.clone(),
            ));
        }
    }
}

/// Every enumeration, in the order of the header.
pub fn enumerations(bindings: &Bindings) -> Result<Vec<Enumeration<'_>>, String> {
    let mut found = Vec::new();
    for item in &bindings.items {
        let (name, doc, members) = match item {
            ItemContainer::Enum(it) => {
                let members = it.variants.iter().map(|variant| {
                    let value = variant.discriminant.as_ref().ok_or("Every variant must say its number.")?;
                    Ok(Member { c_name: &variant.name, value: number(value)?, doc: &variant.documentation })
                });
                (it.path.name(), &it.documentation, members.collect::<Result<_, String>>()?)
            }
            ItemContainer::Typedef(it) if matches!(it.aliased, Type::Primitive(_)) => {
                let members = bindings.constants.iter().filter(|constant| belongs(constant, it.path.name()));
                let members = members.map(|constant| {
                    let value = number(&constant.value)?;
                    Ok(Member { c_name: &constant.export_name, value, doc: &constant.documentation })
                });
                (it.path.name(), &it.documentation, members.collect::<Result<_, String>>()?)
            }
            _ => continue,
        };
        found.push(Enumeration { name, doc, members });
    }
    Ok(found)
}

/// The constants that belong to no enumeration.
pub fn constants(bindings: &Bindings) -> impl Iterator<Item = &Constant> {
    bindings.constants.iter().filter(|constant| {
        !bindings.items.iter().any(|item| match item {
            ItemContainer::Typedef(it) => belongs(constant, it.path.name()),
            _ => false,
        })
    })
}

/// The structs with a layout, in the order of the header.
pub fn structs(bindings: &Bindings) -> impl Iterator<Item = &Struct> {
    bindings.items.iter().filter_map(|item| match item {
        ItemContainer::Struct(it) => Some(it),
        _ => None,
    })
}

/// A callback type: its name, its comment, and the signature behind it.
pub struct Callback<'a> {
    pub name: &'a str,
    pub doc: &'a Documentation,
    pub ret: &'a Type,
    pub args: &'a [(Option<String>, Type)],
}

/// The callback types, in the order of the header.
pub fn callbacks(bindings: &Bindings) -> impl Iterator<Item = Callback<'_>> {
    bindings.items.iter().filter_map(|item| match item {
        ItemContainer::Typedef(it) => match &it.aliased {
            Type::FuncPtr { ret, args, .. } => {
                Some(Callback { name: it.path.name(), doc: &it.documentation, ret, args })
            }
            _ => None,
        },
        _ => None,
    })
}

/// What a type named in a signature turns out to be.
pub enum Named {
    /// An enumeration, passed as a 32-bit integer.
    Number,
    /// A struct with a layout.
    Struct,
    /// A handle.
    Opaque,
    /// A callback type.
    Callback,
}

/// Looks a named type up.
pub fn named(bindings: &Bindings, name: &str) -> Result<Named, String> {
    let item = bindings.items.iter().find(|item| item.deref().path().name() == name);
    match item {
        Some(ItemContainer::Enum(_)) => Ok(Named::Number),
        Some(ItemContainer::Struct(_)) => Ok(Named::Struct),
        Some(ItemContainer::OpaqueItem(_)) => Ok(Named::Opaque),
        Some(ItemContainer::Typedef(it)) if matches!(it.aliased, Type::FuncPtr { .. }) => Ok(Named::Callback),
        Some(ItemContainer::Typedef(_)) => Ok(Named::Number),
        _ => Err(format!("The type {name} is used in src/ffi but is not one of the ABI's.")),
    }
}

/// Whether the type is text, `char *`.
pub fn is_text(ty: &Type) -> bool {
    matches!(ty, Type::Ptr { ty, .. } if matches!(**ty, Type::Primitive(PrimitiveType::Char)))
}

/// The name without the prefix that C needs and a module or class does not.
pub fn strip(name: &str) -> &str {
    name.strip_prefix("tc_").or_else(|| name.strip_prefix("TC_")).unwrap_or(name)
}

/// `tc_set_options` and `TC_SET_OPTIONS` are both `SetOptions`.
pub fn pascal(name: &str) -> String {
    let words = strip(name).split('_').filter(|word| !word.is_empty());
    words.map(|word| word[..1].to_uppercase() + &word[1..].to_lowercase()).collect()
}

/// The comment's lines, without the space after the slashes.
pub fn lines(doc: &Documentation) -> impl Iterator<Item = &str> {
    doc.doc_comment.iter().map(|line| line.trim())
}

/// The sign and digits of a literal, or `u64::MAX`.
pub fn literal(value: &Literal) -> Result<String, String> {
    match value {
        Literal::Expr(text) => Ok(text.clone()),
        Literal::Path { associated_to: Some((ty, _)), name } => Ok(format!("{}::{name}", ty.name())),
        Literal::PostfixUnaryOp { op, value } => Ok(format!("{op}{}", literal(value)?)),
        other => Err(format!("A constant of the ABI must be a number, not {other:?}.")),
    }
}

fn number(value: &Literal) -> Result<i64, String> {
    let text = literal(value)?;
    text.parse().map_err(|_| format!("A member of an enumeration must be a number, not {text}."))
}

fn belongs(constant: &Constant, name: &str) -> bool {
    constant.export_name.starts_with(&(name.to_uppercase() + "_"))
}
