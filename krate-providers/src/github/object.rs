//! Objects are read from objects. A derived `Deserialize` would also take a list for a struct and read it by place, so that a
//! sender's mistake would become a value.

use serde::de::{Deserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Lets a struct be read from an object only.
pub(super) struct ObjectOnly<D>(pub(super) D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Gives structs that derive with `remote = "Self"` a `Deserialize` that takes objects only.
macro_rules! from_object {
    ($($name:ident)+) => {$(
        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $name::deserialize(crate::github::object::ObjectOnly(deserializer))
            }
        }
    )+};
}
pub(super) use from_object;

/// Declares a payload: its action, what it is about, where that stands, and who did it.
macro_rules! payload {
    ($name:ident { $($member:ident: $sort:ident,)+ }) => {
        #[derive(serde::Deserialize)]
        #[serde(remote = "Self")]
        struct $name<'a> {
            #[serde(borrow)]
            action: Str<'a>,
            $(#[serde(borrow)]
            $member: $sort<'a>,)+
            #[serde(borrow)]
            repository: Repo<'a>,
            #[serde(borrow)]
            sender: Option<User<'a>>,
        }
        from_object!($name);
    };
}
pub(super) use payload;
