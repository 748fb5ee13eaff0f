//! Values of a provider's log of the deliveries that it sent: what a lost webhook is found by.

use krate_model::kinds::shared::Time;

use super::DeliveryHead;

/// A hook that is registered at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hook {
    /// The provider's id of it.
    pub native_id: String,
    /// Where it posts, where the provider says so; without a query, which may hold a secret (S47).
    pub url: Option<String>,
    /// Whether it posts at all.
    pub is_active: bool,
}

impl Hook {
    /// A hook.
    pub fn new(native_id: impl Into<String>, url: Option<String>, is_active: bool) -> Self {
        Self { native_id: native_id.into(), url, is_active }
    }
}

/// A line of the log: one attempt at a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedDelivery {
    /// The provider's id of the line.
    pub native_id: String,
    /// The id that the delivery was sent under, the same for each attempt ([`DeliveryHead::delivery_id`]).
    pub delivery_id: String,
    /// The event type.
    pub event_type: String,
    /// When it was sent.
    pub sent_at: Time,
    /// Whether the provider knows that it wasn't taken in: it got no answer, or one that isn't 2xx.
    pub failed: bool,
}

impl LoggedDelivery {
    /// A delivery of which nobody says that it failed.
    pub fn new(
        native_id: impl Into<String>,
        delivery_id: impl Into<String>,
        event_type: impl Into<String>,
        sent_at: Time,
    ) -> Self {
        Self {
            native_id: native_id.into(),
            delivery_id: delivery_id.into(),
            event_type: event_type.into(),
            sent_at,
            failed: false,
        }
    }
}

/// A delivery as the log kept it. The provider's API vouches for it, so there is no signature; the text is the payload's, the bytes may be written
/// otherwise than those that were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptDelivery {
    /// Its identity.
    pub head: DeliveryHead,
    /// The payload.
    pub body: Vec<u8>,
}

impl KeptDelivery {
    /// A delivery with its payload.
    pub fn new(head: DeliveryHead, body: impl Into<Vec<u8>>) -> Self {
        Self { head, body: body.into() }
    }
}
