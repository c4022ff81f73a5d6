use std::{fmt, str::FromStr};

use http::{Uri, uri::Authority};
use serde::{Deserialize, Serialize};

/// Where a replica answers: `https://host:port`, the port 443 where it is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    authority: Authority,
}

impl Endpoint {
    /// Name or address of the host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(443)
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority)
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no endpoint; expected https://host:port");
        let parts = text.parse::<Uri>().map_err(|_| wrong())?.into_parts();
        let bare = parts.path_and_query.as_ref().is_none_or(|p| p.as_str() == "/");
        match (parts.scheme, parts.authority) {
            (Some(scheme), Some(authority))
                if scheme == http::uri::Scheme::HTTPS && bare && !authority.as_str().contains('@') =>
            {
                Ok(Self { authority })
            }
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_https_with_a_host_and_nothing_behind_it() {
        let endpoint: Endpoint = "https://tracking:8443".parse().unwrap();
        assert_eq!((endpoint.host(), endpoint.port()), ("tracking", 8443));
        let six: Endpoint = "https://[::1]".parse().unwrap();
        assert_eq!((six.host(), six.port()), ("::1", 443));
        for wrong in ["http://tracking:8443", "tracking:8443", "https://tracking/path", "https://u@tracking"] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }
}
