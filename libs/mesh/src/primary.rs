//! The Redis that takes writes: one URL, or whichever one the sentinels name at the moment.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    RedisResult, TlsMode,
    sentinel::{Sentinel, SentinelNodeConnectionInfo},
};
use tokio::time::timeout;

use crate::config::{RedisConfig, Secret};

/// A sentinel that does not answer holds up the others for a second, and so does the Redis that they name.
const DEADLINE: Duration = Duration::from_secs(3);

/// Where Redis is. Cheap to clone.
#[derive(Clone)]
pub struct Primary(Way);

#[derive(Clone)]
enum Way {
    Url(Client),
    Sentinels { sentinels: Vec<ConnectionInfo>, master: String, node: SentinelNodeConnectionInfo },
}

impl Primary {
    /// As configured; none where Redis is not used.
    ///
    /// # Errors
    /// When it is not said which Redis, or a URL is none. Neither URL nor password is in the message.
    pub fn of(config: &RedisConfig) -> anyhow::Result<Option<Self>> {
        let RedisConfig { url, sentinels, master, username, password, sentinel_password } = config;
        match (url, sentinels.is_empty(), master) {
            (Some(_), false, _) | (Some(_), _, Some(_)) => bail!("url and sentinels are both given: where is Redis?"),
            (None, true, Some(_)) => bail!("master is given without sentinels to ask for it"),
            (None, false, None) => bail!("sentinels are given without the name of their master"),
            (_, true, None) if username.is_some() || password.is_some() || sentinel_password.is_some() => {
                bail!("username and passwords are for sentinels and their master; a url holds its own")
            }
            (None, true, None) => Ok(None),
            (Some(url), true, None) => Ok(Some(Self(Way::Url(Client::open(url.expose().as_str()).context("url")?)))),
            (None, false, Some(master)) => {
                let sentinels = sentinels
                    .iter()
                    .map(|url| sentinel(url.expose(), sentinel_password.as_ref()))
                    .collect::<anyhow::Result<Vec<_>>>()?;
                let node = node(&sentinels, username.as_deref(), password.as_ref())?;
                Ok(Some(Self(Way::Sentinels { sentinels, master: master.clone(), node })))
            }
        }
    }

    /// A client of the Redis that takes writes now. Ask again for every connection: sentinels may have made another the
    /// master. Answers within three seconds.
    ///
    /// # Errors
    /// When no sentinel names a master that is one.
    pub async fn client(&self) -> RedisResult<Client> {
        match &self.0 {
            Way::Url(client) => Ok(client.clone()),
            Way::Sentinels { sentinels, master, node } => {
                let mut asked = Sentinel::build(sentinels.clone())?;
                timeout(DEADLINE, asked.async_master_for(master, Some(node)))
                    .await
                    .unwrap_or_else(|_| Err(RedisError::from((ErrorKind::Io, "the sentinels do not answer"))))
            }
        }
    }
}

fn sentinel(url: &str, password: Option<&Secret<String>>) -> anyhow::Result<ConnectionInfo> {
    let info = url.into_connection_info().context("sentinels")?;
    ensure!(info.redis_settings().db() == 0, "sentinels: a sentinel has no databases");
    let own = info.redis_settings().clone();
    Ok(match password {
        Some(password) if own.password().is_none() => info.set_redis_settings(own.set_password(password.expose())),
        _ => info,
    })
}

/// How the Redis that sentinels name is spoken to: by TLS if they are.
fn node(
    sentinels: &[ConnectionInfo],
    username: Option<&str>,
    password: Option<&Secret<String>>,
) -> anyhow::Result<SentinelNodeConnectionInfo> {
    let secure = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    let some = sentinels.iter().any(secure);
    ensure!(some == sentinels.iter().all(secure), "sentinels: redis:// and rediss:// do not go together");
    let mut own = RedisConnectionInfo::default();
    if let Some(username) = username {
        own = own.set_username(username);
    }
    if let Some(password) = password {
        own = own.set_password(password.expose());
    }
    let node = SentinelNodeConnectionInfo::default().set_redis_connection_info(own);
    Ok(if some { node.set_tls_mode(TlsMode::Secure) } else { node })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> anyhow::Result<Option<Primary>> {
        Primary::of(&toml::from_str(toml).unwrap())
    }

    #[test]
    fn redis_is_at_a_url_or_where_sentinels_say_or_nowhere() {
        assert!(read("").unwrap().is_none());
        assert!(read("url = 'rediss://:swordfish@redis:6379'").unwrap().is_some());
        let both_secure = "sentinels = ['rediss://a:26379', 'rediss://b:26379']\nmaster = 'haetae'\npassword = 'x'";
        assert!(read(both_secure).unwrap().is_some());
    }

    #[test]
    fn what_does_not_say_where_redis_is_is_a_fault_with_its_reason() {
        let sentinels = "sentinels = ['redis://a:26379']\n";
        for (toml, why) in [
            (format!("url = 'redis://r'\nmaster = 'm'\n{sentinels}"), "both given"),
            ("url = 'redis://r'\nmaster = 'm'".to_owned(), "both given"),
            (sentinels.to_owned(), "without the name"),
            ("master = 'm'".to_owned(), "without sentinels"),
            ("url = 'redis://r'\npassword = 'swordfish'".to_owned(), "are for sentinels"),
            ("sentinels = ['redis://a', 'rediss://b']\nmaster = 'm'".to_owned(), "do not go together"),
            ("sentinels = ['redis://a/1']\nmaster = 'm'".to_owned(), "no databases"),
            ("sentinels = ['sword://:fish@a']\nmaster = 'm'".to_owned(), "sentinels"),
        ] {
            let fault = format!("{:#}", read(&toml).err().unwrap());
            assert!(fault.contains(why) && !fault.contains("fish"), "{toml}: {fault}");
        }
    }

    #[test]
    fn a_password_of_all_sentinels_stands_behind_those_in_their_urls() {
        let all = Secret::new("shared".to_owned());
        let of = |url: &str| sentinel(url, Some(&all)).unwrap().redis_settings().password().map(ToOwned::to_owned);
        assert_eq!(of("redis://a:26379").as_deref(), Some("shared"));
        assert_eq!(of("redis://:own@a:26379").as_deref(), Some("own"));
    }
}
