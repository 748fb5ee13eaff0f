//! GitHub's objects as they stand in payloads and answers: borrowed, and only what krate reads.
//!
//! An object that has a projection is declared with [`native!`], which keeps the members that krate has no field for as the
//! JSON that they came in (S6). Two sorts of members are left out of that, by [`is_dropped`].

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, NaiveDate};
use krate_model::kinds::shared::{Time, Version, parse_time};
use krate_model::observation::{AccountObserved, RepositoryIdentity, Text};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::RawValue;

use super::object::{ObjectOnly, from_object};

from_object!(User Owner Repo Named Titled Before);

/// Members that say nothing of their own about the object that they stand in, with the reason.
///
/// Besides these, every member whose name ends in `url` is left out: addresses follow from the ids, and go stale.
pub(super) const DROPPED: &[(&str, &str)] = &[
    ("_links", "addresses"),
    ("app", "an object of its own"),
    ("assignee", "the first of `assignees`"),
    ("deployment", "an object of its own"),
    ("deployment_branch_policy", "an object of its own"),
    ("head_commit", "an object of its own"),
    ("head_repository", "an object of its own"),
    ("organization", "an object of its own"),
    ("parent", "an object of its own"),
    ("performed_via_github_app", "an object of its own"),
    ("permissions", "about the reader, not about the object"),
    ("repository", "an object of its own"),
    ("source", "an object of its own"),
    ("template_repository", "an object of its own"),
];

pub(super) fn is_dropped(key: &str) -> bool {
    key.ends_with("url") || DROPPED.iter().any(|(name, _)| *name == key)
}

/// Text that borrows also where it stands in an `Option` or a list, which `Cow` alone doesn't.
#[derive(Debug, Clone)]
pub(super) struct Str<'a>(pub(super) Text<'a>);

struct StrVisitor;

impl<'de> Visitor<'de> for StrVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(StrVisitor).map(Self)
    }
}

/// The text of an optional member.
pub(super) fn text(member: Option<Str<'_>>) -> Option<Text<'_>> {
    member.map(|text| text.0)
}

/// A number that names something: kept as the digits that came.
#[derive(Debug, Clone)]
pub(super) struct Id<'a>(pub(super) Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = <&'a RawValue>::deserialize(deserializer)?.get();
        if (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(Cow::Borrowed(digits)))
        } else {
            Err(D::Error::custom("expected an id: an integer of 1 to 20 digits"))
        }
    }
}

/// An instant: RFC 3339, or seconds since 1970 as a push has them. Text that is no time makes the object unversioned (S17).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct When(pub(super) Option<Time>);

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WhenVisitor;

        impl Visitor<'_> for WhenVisitor {
            type Value = When;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time, as RFC 3339 text or Unix seconds")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<When, E> {
                Ok(When(instant(text)))
            }

            fn visit_i64<E: Error>(self, seconds: i64) -> Result<When, E> {
                Ok(When(DateTime::from_timestamp(seconds, 0)))
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<When, E> {
                Ok(When(i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0))))
            }
        }

        deserializer.deserialize_any(WhenVisitor)
    }
}

/// The instant of an optional member.
pub(super) fn when(member: Option<When>) -> Option<Time> {
    member.and_then(|when| when.0)
}

/// Reads a time; `2019-05-15T15:20:33Z`, which nearly all are, without the general parser.
fn instant(text: &str) -> Option<Time> {
    let fast = match text.as_bytes() {
        [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', i0, i1, b':', s0, s1, b'Z'] => {
            let (century, year) = (two(*y0, *y1)?, two(*y2, *y3)?);
            NaiveDate::from_ymd_opt(i32::try_from(century * 100 + year).ok()?, two(*m0, *m1)?, two(*d0, *d1)?)
                .and_then(|date| date.and_hms_opt(two(*h0, *h1)?, two(*i0, *i1)?, two(*s0, *s1)?))
                .map(|time| time.and_utc())
        }
        _ => None,
    };
    fast.or_else(|| parse_time(text))
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

/// The version of an object that has only a time (S15).
pub(super) fn version(updated_at: Option<Time>) -> Version {
    Version { updated_at, ..Version::default() }
}

/// Fills a member that may stand once.
pub(super) fn set<T, E: Error>(slot: &mut Option<T>, key: &'static str, value: T) -> Result<(), E> {
    if slot.is_some() {
        return Err(E::duplicate_field(key));
    }
    *slot = Some(value);
    Ok(())
}

/// Declares an object of GitHub: members that must be there, members that may be missing or null, and the rest kept as it came.
macro_rules! native {
    ($(#[$meta:meta])* $name:ident {
        required { $($required:ident: $required_type:ty = $required_key:literal,)* }
        optional { $($optional:ident: $optional_type:ty = $optional_key:literal,)* }
    }) => {
        $(#[$meta])*
        #[derive(Debug)]
        #[allow(clippy::struct_field_names)] // The names are GitHub's.
        pub(in crate::github) struct $name<'a> {
            $(pub(in crate::github) $required: $required_type,)*
            $(pub(in crate::github) $optional: Option<$optional_type>,)*
            /// What krate has no field for (S6).
            pub(in crate::github) rest: krate_model::observation::NativeFields<'a>,
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct MapVisitor<'a>(std::marker::PhantomData<&'a ()>);

                impl<'de: 'a, 'a> serde::de::Visitor<'de> for MapVisitor<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name<'a>, A::Error> {
                        $(let mut $required: Option<$required_type> = None;)*
                        $(let mut $optional: Option<Option<$optional_type>> = None;)*
                        let mut rest = Vec::with_capacity(16);
                        while let Some(Str(key)) = map.next_key::<Str<'a>>()? {
                            match &*key {
                                $($required_key => set(&mut $required, $required_key, map.next_value()?)?,)*
                                $($optional_key => set(&mut $optional, $optional_key, map.next_value()?)?,)*
                                dropped if is_dropped(dropped) => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                                _ => {
                                    let value = map.next_value::<&'a serde_json::value::RawValue>()?;
                                    rest.push((key, std::borrow::Cow::Borrowed(value)));
                                }
                            }
                        }
                        Ok($name {
                            $($required: $required
                                .ok_or_else(|| <A::Error as serde::de::Error>::missing_field($required_key))?,)*
                            $($optional: $optional.flatten(),)*
                            rest: krate_model::observation::NativeFields(rest),
                        })
                    }
                }

                deserializer.deserialize_map(MapVisitor(std::marker::PhantomData))
            }
        }
    };
}
pub(super) use native;

/// An account. One without an id names nobody: logins change hands.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct User<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    #[serde(borrow)]
    login: Option<Str<'a>>,
    #[serde(borrow, rename = "type")]
    sort: Option<Str<'a>>,
}

impl<'a> User<'a> {
    fn observed(self) -> Option<AccountObserved<'a>> {
        let bot = self.sort.is_some_and(|sort| sort.0 == "Bot");
        self.id.map(|id| AccountObserved { id: id.0, login: text(self.login), bot })
    }

    pub(super) fn into_login(self) -> Option<Text<'a>> {
        text(self.login)
    }
}

pub(super) fn account(user: Option<User<'_>>) -> Option<AccountObserved<'_>> {
    user.and_then(User::observed)
}

pub(super) fn accounts(users: Option<Vec<User<'_>>>) -> Vec<AccountObserved<'_>> {
    users.unwrap_or_default().into_iter().filter_map(User::observed).collect()
}

/// The owner of a repository; a push may say `name` in place of `login`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(remote = "Self")]
struct Owner<'a> {
    #[serde(borrow)]
    login: Option<Str<'a>>,
    #[serde(borrow)]
    name: Option<Str<'a>>,
}

/// A repository, where only its identity matters.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Repo<'a> {
    #[serde(borrow)]
    pub(super) id: Id<'a>,
    #[serde(borrow)]
    name: Str<'a>,
    #[serde(borrow)]
    full_name: Option<Str<'a>>,
    #[serde(borrow)]
    owner: Option<Owner<'a>>,
    /// Only in pushes of interest.
    pub(super) pushed_at: Option<When>,
}

impl<'a> Repo<'a> {
    pub(super) fn identity(self) -> RepositoryIdentity<'a> {
        let named = self.owner.and_then(|owner| owner.login.or(owner.name)).map(|owner| owner.0);
        let owner = named.unwrap_or_else(|| match self.full_name {
            Some(Str(Cow::Borrowed(full))) => Cow::Borrowed(full.split_once('/').map_or("", |(owner, _)| owner)),
            Some(Str(Cow::Owned(full))) => {
                Cow::Owned(full.split_once('/').map_or_else(String::new, |(owner, _)| owner.to_owned()))
            }
            None => Cow::Borrowed(""),
        });
        RepositoryIdentity { id: self.id.0, owner, name: self.name.0 }
    }
}

/// Something of which only the name matters.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Named<'a> {
    #[serde(borrow)]
    pub(super) name: Str<'a>,
}

pub(super) fn names(named: Option<Vec<Named<'_>>>) -> Vec<Text<'_>> {
    named.unwrap_or_default().into_iter().map(|named| named.name.0).collect()
}

/// Something of which only the title matters.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Titled<'a> {
    #[serde(borrow)]
    pub(super) title: Str<'a>,
}

/// Something of which only the number matters.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Numbered {
    pub(super) number: i64,
}

impl<'de> Deserialize<'de> for Numbered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Numbered::deserialize(ObjectOnly(deserializer))
    }
}

/// What holds the word before a change.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Before<'a> {
    #[serde(borrow)]
    pub(super) from: Option<Str<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s17_times_are_instants_and_what_is_no_time_is_none() {
        let read = |json: &str| serde_json::from_str::<When>(json).map(|when| when.0.map(|time| time.to_rfc3339()));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("\"2019-05-15T15:20:33Z\"").unwrap(), some("2019-05-15T15:20:33+00:00"));
        assert_eq!(read("\"2019-05-15T17:20:33+02:00\"").unwrap(), some("2019-05-15T15:20:33+00:00"));
        assert_eq!(read("\"2019-05-15T15:20:33.500Z\"").unwrap(), some("2019-05-15T15:20:33.500+00:00"));
        assert_eq!(read("1557933633").unwrap(), some("2019-05-15T15:20:33+00:00"));
        for malformed in ["\"\"", "\"yesterday\"", "\"2019-02-31T00:00:00Z\"", "\"2019-05-15\"", "9223372036854775807"]
        {
            assert_eq!(read(malformed).unwrap(), None, "{malformed}");
        }
        assert!(read("true").is_err());
    }

    #[test]
    fn an_id_is_the_digits_that_came() {
        let read = |json: &'static str| serde_json::from_str::<Id<'_>>(json).map(|id| id.0);
        assert!(matches!(read("18446744073709551615").unwrap(), Cow::Borrowed("18446744073709551615")));
        for wrong in ["-1", "1.0", "1e3", "\"1\"", "null", "{}", "184467440737095516150"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_list_of_dropped_members_is_sorted_and_has_no_address() {
        assert!(DROPPED.iter().all(|(name, why)| !name.ends_with("url") && !why.is_empty()));
        assert!(DROPPED.is_sorted_by_key(|(name, _)| *name));
    }
}
