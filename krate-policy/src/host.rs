//! Where bytes may go: patterns over hosts (permission-review.md P17, P60).
//!
//! ```
//! use krate_policy::host::{Destination, HostPattern};
//!
//! let api = HostPattern::parse("*.github.com")?;
//! assert!(api.matches(&Destination::parse("https://API.github.com./repos")?));
//! assert!(!api.matches(&Destination::parse("https://github.com")?));
//! assert!(!api.matches(&Destination::parse("https://api.github.com.evil.net")?));
//! # Ok::<(), krate_policy::host::HostError>(())
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

use thiserror::Error;
use url::{Host, Url};

/// The port of a pattern or a destination that names none.
pub const DEFAULT_PORT: u16 = 443;

/// Why a host can't be read; the text follows on "the host".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HostError {
    /// No host by the rules of URLs and of international domain names.
    #[error("is no domain name and no address")]
    NotAHost,
    /// `user@host`: a name that a reader takes for the host, and that may be a credential.
    #[error("has user information before it; name the host alone")]
    UserInformation,
    /// A path, a query or a fragment in a pattern.
    #[error("has more than a name and a port")]
    TooMuch,
    /// A port that is no number from 1 to 65535.
    #[error("has a port that is no number from 1 to 65535")]
    Port,
    /// `*` elsewhere than as the whole first label.
    #[error(
        "has a `*` that is not its whole first label; write *.example.com for one label, **.example.com for any number"
    )]
    Wildcard,
    /// `*` alone, or above one label only.
    #[error("has a `*` over a whole top-level domain; name the domain below it")]
    TooBroad,
    /// A wildcard in front of an address.
    #[error("is an address with a `*`; write each address out")]
    AddressWildcard,
}

/// A place that somebody wants to reach: host and port in one written form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    host: Host<String>,
    port: u16,
}

impl Destination {
    /// Reads a URL, or a host with or without a port. Case, a dot at the end, international names and odd forms of addresses (`0x7f.1`) are
    /// brought to one form.
    ///
    /// # Errors
    /// [`HostError`]; user information is refused, because what stands before `@` is easily taken for the host.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.contains("://") {
            let url = Url::parse(text).map_err(|_| HostError::NotAHost)?;
            if !url.username().is_empty() || url.password().is_some() {
                return Err(HostError::UserInformation);
            }
            let host = url.host_str().ok_or(HostError::NotAHost)?;
            let port = url.port_or_known_default().unwrap_or(DEFAULT_PORT);
            return Ok(Self { host: read_host(host)?, port });
        }
        let (host, port) = split_port(text)?;
        Ok(Self { host: read_host(host)?, port })
    }

    /// The address that a name resolved to, or that a redirect leads to: it is judged again (P60).
    pub fn address(address: IpAddr, port: u16) -> Self {
        let host = match embedded(address) {
            IpAddr::V4(address) => Host::Ipv4(address),
            IpAddr::V6(address) => Host::Ipv6(address),
        };
        Self { host, port }
    }

    /// The port.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is a name that stands for this machine or its network: one label, or below a domain that is never public.
    pub(crate) fn is_local_name(&self) -> bool {
        let Host::Domain(name) = &self.host else { return false };
        let last = name.rsplit('.').next().unwrap_or_default();
        !name.contains('.') || matches!(last, "localhost" | "local" | "internal" | "lan" | "home" | "corp" | "test")
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ipv4(address) => Some(embedded(address.into())),
            Host::Ipv6(address) => Some(embedded(address.into())),
            Host::Domain(_) => None,
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}", self.host, self.port)
    }
}

/// Which hosts an entry of a list means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reach {
    /// This one.
    Exact,
    /// One label more.
    OneLabel,
    /// Any number of labels more, at least one.
    AnyLabels,
}

/// An entry of a host list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    reach: Reach,
    base: Destination,
}

impl HostPattern {
    /// Reads `host`, `*.host` or `**.host`, each with an optional port (absent: [`DEFAULT_PORT`]).
    ///
    /// # Errors
    /// [`HostError`] that says what may be written instead.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.contains('@') {
            return Err(HostError::UserInformation);
        }
        if text.contains("://") || text.contains(['/', '?', '#', '\\']) {
            return Err(HostError::TooMuch);
        }
        let (reach, host) = match (text.strip_prefix("**."), text.strip_prefix("*.")) {
            (Some(host), _) => (Reach::AnyLabels, host),
            (_, Some(host)) => (Reach::OneLabel, host),
            _ => (Reach::Exact, text),
        };
        if host == "*" || host == "**" {
            return Err(HostError::TooBroad);
        }
        if host.contains('*') {
            return Err(HostError::Wildcard);
        }
        let base = Destination::parse(host)?;
        match (&reach, &base.host) {
            (Reach::Exact, _) => {}
            (_, Host::Domain(name)) if name.contains('.') => {}
            (_, Host::Domain(_)) => return Err(HostError::TooBroad),
            _ => return Err(HostError::AddressWildcard),
        }
        Ok(Self { reach, base })
    }

    /// Whether the entry means `destination`: labels from the right, never a part of one. Addresses, and names of this machine, are meant by
    /// their own exact entry alone.
    pub fn matches(&self, destination: &Destination) -> bool {
        if self.base.port != destination.port {
            return false;
        }
        match (&self.base.host, &destination.host) {
            (Host::Domain(base), Host::Domain(name)) => match &self.reach {
                Reach::Exact => base == name,
                reach => {
                    let above = name.strip_suffix(base.as_str()).and_then(|above| above.strip_suffix('.'));
                    above.is_some_and(|above| !above.is_empty() && (*reach == Reach::AnyLabels || !above.contains('.')))
                }
            },
            (Host::Domain(_), _) | (_, Host::Domain(_)) => false,
            _ => self.base.ip() == destination.ip(),
        }
    }
}

/// Whether a list lets bytes go to `destination`.
pub fn allows(list: &[HostPattern], destination: &Destination) -> bool {
    list.iter().any(|entry| entry.matches(destination))
}

/// Whether a name of `list` that resolved to `address` may be reached there: public addresses yes, because the name was allowed; loopback,
/// link-local, private and metadata addresses only by an entry of their own (P17).
pub fn allows_resolved(list: &[HostPattern], address: IpAddr, port: u16) -> bool {
    !is_inner(address) || allows(list, &Destination::address(address, port))
}

/// Whether an address belongs to this machine, a private network or a cloud's inner services rather than to the public internet. The ranges
/// are those of IANA's special-purpose registries; 168.63.129.16 is Azure's platform address.
pub fn is_inner(address: IpAddr) -> bool {
    match embedded(address) {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            matches!(a, 0 | 10 | 127 | 224..=255)
                || matches!((a, b), (100, 64..=127) | (169, 254) | (172, 16..=31) | (192, 168) | (198, 18..=19))
                || matches!((a, b, c), (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113))
                || address == Ipv4Addr::new(168, 63, 129, 16)
        }
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            address.is_loopback()
                || address.is_unspecified()
                || first & 0xfe00 == 0xfc00
                || first & 0xffc0 == 0xfe80
                || first & 0xffc0 == 0xfec0
                || first & 0xff00 == 0xff00
                || (first == 0x2001 && second == 0xdb8)
        }
    }
}

/// The IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4), which is where the bytes would end up.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let v4 = |high: u16, low: u16| IpAddr::from((u32::from(high) << 16 | u32::from(low)).to_be_bytes());
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => IpAddr::V6(Ipv6Addr::from(v6.segments())),
    }
}

fn read_host(text: &str) -> Result<Host<String>, HostError> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let host = Host::parse(text).map_err(|_| HostError::NotAHost)?;
    match &host {
        Host::Domain(name) if name.split('.').any(str::is_empty) || name.len() > 253 => Err(HostError::NotAHost),
        _ => Ok(host),
    }
}

/// `host:port`, where an IPv6 address stands in brackets.
fn split_port(text: &str) -> Result<(&str, u16), HostError> {
    if text.contains('@') {
        return Err(HostError::UserInformation);
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().ok().filter(|port| *port != 0).ok_or(HostError::Port)?;
            Ok((host, port))
        }
        _ => Ok((text, DEFAULT_PORT)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, destination: &str) -> bool {
        HostPattern::parse(pattern).unwrap().matches(&Destination::parse(destination).unwrap())
    }

    #[test]
    fn p17_labels_match_from_the_right_and_never_in_part() {
        for (pattern, yes, no) in [
            (
                "api.github.com",
                &["API.GITHUB.COM.", "https://api.github.com/x", "api.github.com:443"][..],
                &["api.github.com.evil.net", "xapi.github.com", "http://api.github.com", "api.github.com:8443"][..],
            ),
            ("*.github.com", &["api.github.com"], &["github.com", "a.b.github.com", "evilgithub.com", "127.0.0.1"]),
            ("**.github.com", &["api.github.com", "a.b.github.com"], &["github.com", "evilgithub.com"]),
            ("git.example:8443", &["https://git.example:8443/"], &["git.example"]),
            ("bücher.example", &["xn--bcher-kva.example", "BÜCHER.example"], &["bucher.example"]),
            ("127.0.0.1", &["0x7f.1", "2130706433", "[::ffff:127.0.0.1]"], &["127.0.0.2", "localhost"]),
            ("[::1]:80", &["http://[::1]/"], &["[::1]", "http://[::2]/"]),
            ("localhost", &["localhost"], &["a.localhost", "127.0.0.1"]),
        ] {
            for destination in yes {
                assert!(fits(pattern, destination), "{pattern} means {destination}");
            }
            for destination in no {
                assert!(!fits(pattern, destination), "{pattern} does not mean {destination}");
            }
        }
    }

    #[test]
    fn p17_what_may_not_be_written_says_why() {
        for (pattern, error) in [
            ("user@example.com", HostError::UserInformation),
            ("https://example.com", HostError::TooMuch),
            ("example.com/path", HostError::TooMuch),
            ("example.com:0", HostError::Port),
            ("example.com:x", HostError::Port),
            ("a.*.example.com", HostError::Wildcard),
            ("a*.example.com", HostError::Wildcard),
            ("*", HostError::TooBroad),
            ("*.com", HostError::TooBroad),
            ("*.127.0.0.1", HostError::AddressWildcard),
            ("", HostError::NotAHost),
            ("a..b", HostError::NotAHost),
        ] {
            assert_eq!(HostPattern::parse(pattern), Err(error), "{pattern}");
        }
        assert_eq!(Destination::parse("https://api.github.com@evil.net/"), Err(HostError::UserInformation));
    }

    #[test]
    fn p60_a_name_that_leads_inside_needs_an_entry_for_the_address() {
        let list = [HostPattern::parse("*.example.com").unwrap(), HostPattern::parse("10.1.2.3").unwrap()];
        let may = |address: &str| allows_resolved(&list, address.parse().unwrap(), DEFAULT_PORT);
        for inner in
            ["169.254.169.254", "127.0.0.1", "192.168.0.1", "::1", "fd00:ec2::254", "fe80::1", "100.100.100.200"]
        {
            assert!(!may(inner), "{inner}");
        }
        for disguised in ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::7f00:1"] {
            assert!(!may(disguised), "{disguised}");
        }
        assert!(may("10.1.2.3") && may("::ffff:10.1.2.3") && may("140.82.121.6") && may("2606:50c0::1"));
    }

    proptest! {
        #[test]
        fn p17_any_text_is_read_or_refused(pattern in "\\PC{0,30}|[a-z*.:@\\[\\]0-9]{0,30}", text in "\\PC{0,30}|[a-z.:@0-9]{0,30}") {
            if let (Ok(pattern), Ok(destination)) = (HostPattern::parse(&pattern), Destination::parse(&text)) {
                pattern.matches(&destination);
            }
        }

        #[test]
        fn p17_a_wildcard_never_means_what_ends_elsewhere(name in "[a-z]{1,5}(\\.[a-z]{1,5}){0,3}", evil in "[a-z]{1,5}\\.[a-z]{2,3}") {
            let inside = format!("{name}.example.com");
            prop_assert!(fits("**.example.com", &inside));
            prop_assert_eq!(fits("*.example.com", &inside), !name.contains('.'));
            let outside = format!("{inside}.{evil}");
            prop_assert!(!fits("**.example.com", &outside) || outside.ends_with(".example.com"));
            let glued = format!("{name}example.com");
            prop_assert!(!fits("**.example.com", &glued));
        }
    }
}
