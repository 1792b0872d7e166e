//! `Value`: what is in a column of a row, and how it is written, as text and as bytes.

/// The type of a column, or of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `BOOL`.
    Bool,
    /// `INT4`.
    Int4,
    /// `INT8`.
    Int8,
    /// `FLOAT8`.
    Float8,
    /// `TEXT`.
    Text,
    /// `void`, which functions give that give nothing.
    Void,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// `BOOL`.
    Bool(bool),
    /// `INT4`.
    Int4(i32),
    /// `INT8`.
    Int8(i64),
    /// `FLOAT8`.
    Float8(f64),
    /// `TEXT`.
    Text(String),
    /// The one value of `void`, which has no bytes.
    Void,
}

impl Kind {
    /// Its number in the system's catalogue, and the size of its values; -1 where they differ.
    pub(super) fn number_and_size(self) -> (i32, i16) {
        match self {
            Self::Bool => (16, 1),
            Self::Int8 => (20, 8),
            Self::Int4 => (23, 4),
            Self::Text => (25, -1),
            Self::Float8 => (701, 8),
            Self::Void => (2278, 4),
        }
    }

    /// The type that a cast names, such as `int4`.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "bool" | "boolean" => Self::Bool,
            "int4" | "int" | "integer" => Self::Int4,
            "int8" | "bigint" => Self::Int8,
            "float8" => Self::Float8,
            "text" => Self::Text,
            _ => return None,
        })
    }

    /// A parameter as text, from how it came; `None` where it is not of this type.
    pub(super) fn decode(number: i32, bytes: &[u8], is_binary: bool) -> Option<String> {
        if !is_binary {
            return String::from_utf8(bytes.to_vec()).ok();
        }
        Some(match number {
            16 => (*bytes.first()? != 0).to_string(),
            20 => i64::from_be_bytes(bytes.try_into().ok()?).to_string(),
            21 => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
            23 => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
            700 => f32::from_be_bytes(bytes.try_into().ok()?).to_string(),
            701 => f64::from_be_bytes(bytes.try_into().ok()?).to_string(),
            // Texts are the same either way; of what is not known here, whatever can be read.
            _ => String::from_utf8_lossy(bytes).into_owned(),
        })
    }
}

impl Value {
    /// Its bytes; `None` is NULL.
    pub(super) fn encode(&self, is_binary: bool) -> Option<Vec<u8>> {
        Some(match (self, is_binary) {
            (Self::Null, _) => return None,
            (Self::Void, _) => Vec::new(),
            (Self::Text(text), _) => text.clone().into_bytes(),
            (Self::Bool(value), true) => vec![u8::from(*value)],
            (Self::Bool(value), false) => if *value { b"t" } else { b"f" }.to_vec(),
            (Self::Int4(number), true) => number.to_be_bytes().to_vec(),
            (Self::Int4(number), false) => number.to_string().into_bytes(),
            (Self::Int8(number), true) => number.to_be_bytes().to_vec(),
            (Self::Int8(number), false) => number.to_string().into_bytes(),
            (Self::Float8(number), true) => number.to_be_bytes().to_vec(),
            (Self::Float8(number), false) => number.to_string().into_bytes(),
        })
    }

    /// Whether a column of this type may have it.
    pub(super) fn is_of(&self, kind: Kind) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(_) => kind == Kind::Bool,
            Self::Int4(_) => kind == Kind::Int4,
            Self::Int8(_) => kind == Kind::Int8,
            Self::Float8(_) => kind == Kind::Float8,
            Self::Text(_) => kind == Kind::Text,
            Self::Void => kind == Kind::Void,
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from!(bool => Bool, i32 => Int4, i64 => Int8, f64 => Float8, &str => Text, String => Text);
