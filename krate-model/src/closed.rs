//! Closed sets: strings of which only some are known. Spec: resource-kinds.md section 3, R8, R26.
//!
//! A value that a newer version stored is read as `Unknown`, written back unchanged, and allows nothing (R26); validation
//! refuses it on the way in (R8). [`closed_set!`](crate::closed_set) makes such a type from one list, so that parsing, printing, the schema and the list
//! of accepted values can't differ.

use std::fmt;

/// What every closed set can tell of itself.
pub trait ClosedSet: Sized + 'static {
    /// The known values, in the order of the spec.
    const ACCEPTED: &'static [&'static str];

    /// The value as it stands in JSON.
    fn as_str(&self) -> &str;

    /// Whether this is one of [`Self::ACCEPTED`]; an unknown value allows nothing (R26).
    fn is_known(&self) -> bool;
}

/// A text that is not in a closed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not one of {}", Accepted(.accepted))]
pub struct NotInSet {
    /// What was found.
    pub found: Box<str>,
    /// What would be accepted.
    pub accepted: &'static [&'static str],
}

struct Accepted<'a>(&'a [&'static str]);

impl fmt::Display for Accepted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, value) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { ", " })?;
            f.write_str(value)?;
        }
        Ok(())
    }
}

/// Declares a closed set: an enum with `Unknown`, serde, schema, `FromStr`, `Display` and [`ClosedSet`].
///
/// ```
/// krate_model::closed_set! {
///     /// How sure we are.
///     Verdict { Yes = "yes", No = "no" }
/// }
/// use krate_model::ClosedSet;
/// assert_eq!(Verdict::ACCEPTED, ["yes", "no"]);
/// assert!("maybe".parse::<Verdict>().is_err());
/// let kept: Verdict = serde_json::from_str("\"maybe\"").unwrap();
/// assert!(!kept.is_known());
/// assert_eq!(serde_json::to_string(&kept).unwrap(), "\"maybe\"");
/// ```
#[macro_export]
macro_rules! closed_set {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vmeta])* #[doc = concat!("`", $text, "`")] $variant,)+
            /// A value that this version doesn't know: kept as it is, allows nothing (R26).
            Unknown(Box<str>),
        }

        impl $crate::ClosedSet for $name {
            const ACCEPTED: &'static [&'static str] = &[$($text),+];
            fn as_str(&self) -> &str {
                match self { $(Self::$variant => $text,)+ Self::Unknown(text) => text }
            }
            fn is_known(&self) -> bool {
                !matches!(self, Self::Unknown(_))
            }
        }

        impl $name {
            /// Every known value, in the order of the spec.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value as it stands in JSON.
            pub fn as_str(&self) -> &str {
                $crate::ClosedSet::as_str(self)
            }

            /// The value for `text`; one that is not in the set becomes `Unknown`.
            pub fn from_text(text: &str) -> Self {
                match text { $($text => Self::$variant,)+ other => Self::Unknown(other.into()) }
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::NotInSet;
            fn from_str(text: &str) -> Result<Self, $crate::NotInSet> {
                match Self::from_text(text) {
                    Self::Unknown(found) => Err($crate::NotInSet { found, accepted: <Self as $crate::ClosedSet>::ACCEPTED }),
                    known => Ok(known),
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::__private::Serialize for $name {
            fn serialize<S: $crate::__private::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> $crate::__private::Deserialize<'de> for $name {
            fn deserialize<D: $crate::__private::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <::std::borrow::Cow<'de, str> as $crate::__private::Deserialize>::deserialize(deserializer)?;
                Ok(Self::from_text(&text))
            }
        }

        impl $crate::__private::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut $crate::__private::SchemaGenerator) -> $crate::__private::Schema {
                $crate::__private::string_enum_schema(<Self as $crate::ClosedSet>::ACCEPTED)
            }
        }
    };
}

#[cfg(test)]
#[allow(dead_code, unreachable_pub)] // The macro makes a whole public type; the tests use a part of it.
mod tests {
    use super::*;

    closed_set! {
        /// Two sides.
        Side { Left = "left", Right = "right" }
    }

    #[test]
    fn r8_a_value_outside_the_set_is_refused_with_the_accepted_ones() {
        let error = "Left".parse::<Side>().unwrap_err();
        assert_eq!(error.to_string(), "\"Left\" is not one of left, right");
    }

    #[test]
    fn r26_an_unknown_value_is_kept_and_known_to_be_unknown() {
        let side: Side = serde_json::from_str("\"top\"").unwrap();
        assert!(!side.is_known());
        assert_eq!(serde_json::to_string(&side).unwrap(), "\"top\"");
        assert_eq!("right".parse::<Side>().unwrap(), Side::Right);
    }
}
