//! Hooks of a repository, and their log of deliveries. Source: GitHub's REST reference, "Repository webhooks".

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::native::{Id, Str, When};
use super::object::from_object;
use crate::contract::{DeliveryHead, Hook, KeptDelivery, LoggedDelivery};

/// What GitHub says of a delivery that it has no answer to yet.
const NO_ANSWER: i64 = 0;

#[derive(Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Registered<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    active: bool,
    #[serde(borrow)]
    config: Option<HookConfig<'a>>,
}
#[derive(Deserialize)]
#[serde(remote = "Self")]
struct HookConfig<'a> {
    #[serde(borrow)]
    url: Option<Str<'a>>,
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Sent<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    #[serde(borrow)]
    guid: Str<'a>,
    #[serde(borrow)]
    event: Str<'a>,
    delivered_at: When,
    status_code: Option<i64>,
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Whole<'a> {
    #[serde(borrow)]
    guid: Str<'a>,
    #[serde(borrow)]
    event: Str<'a>,
    #[serde(borrow)]
    request: SentRequest<'a>,
}
#[derive(Deserialize)]
#[serde(remote = "Self")]
struct SentRequest<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
}
from_object!(Registered HookConfig Sent Whole SentRequest);

impl Registered<'_> {
    pub(super) fn hook(self) -> Hook {
        // Some put a secret into the query or the user info of the address.
        let url = self.config.and_then(|config| config.url).and_then(|url| Url::parse(&url.0).ok());
        let url = url.and_then(|url| Some(format!("{}://{}{}", url.scheme(), url.host_str()?, url.path())));
        Hook::new(self.id.0, url, self.active)
    }
}

impl Sent<'_> {
    /// The line; none, where nobody can say when it was.
    pub(super) fn line(self) -> Option<LoggedDelivery> {
        let mut line = LoggedDelivery::new(self.id.0, self.guid.0, self.event.0, self.delivered_at.0?);
        line.failed = self.status_code.is_some_and(|code| code != NO_ANSWER && !(200..300).contains(&code));
        Some(line)
    }
}

impl Whole<'_> {
    pub(super) fn delivery(self) -> KeptDelivery {
        let head = DeliveryHead {
            delivery_id: self.guid.0.into_owned(),
            derived_id: false,
            event_type: self.event.0.into_owned(),
            headers: BTreeMap::new(),
        };
        KeptDelivery::new(head, self.request.payload.get())
    }
}
