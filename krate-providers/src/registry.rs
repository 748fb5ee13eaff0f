//! Every provider that this build has: one line each (S48).

use crate::contract::Provider;

/// The providers, by their types.
static PROVIDERS: &[&dyn Provider] = &[
    #[cfg(feature = "github")]
    &crate::github::GitHub,
];

/// The provider of a type; none, where this build doesn't have it.
///
/// ```
/// # #[cfg(feature = "github")]
/// assert_eq!(krate_providers::registry::provider("github").unwrap().manifest().display_name, "GitHub");
/// assert!(krate_providers::registry::provider("githb").is_none());
/// ```
pub fn provider(provider_type: &str) -> Option<&'static dyn Provider> {
    PROVIDERS.iter().copied().find(|provider| provider.provider_type() == provider_type)
}

/// All providers, in the order of the registry.
pub fn providers() -> &'static [&'static dyn Provider] {
    PROVIDERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s48_a_provider_stands_in_the_registry_once_under_its_own_type() {
        for (at, provider) in PROVIDERS.iter().enumerate() {
            assert_eq!(provider.manifest().provider_type, provider.provider_type());
            let first = PROVIDERS.iter().position(|other| other.provider_type() == provider.provider_type());
            assert_eq!(first, Some(at));
        }
    }
}
