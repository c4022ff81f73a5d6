//! The Redis that takes writes: one URL, whichever one the sentinels name at the moment, or a cluster, whose nodes take a
//! part of them each.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rand::seq::SliceRandom;
use redis::{
    AsyncConnectionConfig, AsyncTypedCommands, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError, RedisFuture, RedisResult, TlsMode, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{Sentinel, SentinelNodeConnectionInfo},
};
use tokio::time::timeout;

use crate::config::{RedisConfig, Secret};

/// A sentinel that does not answer holds up the others for a second, and so does the Redis that they name.
const DEADLINE: Duration = Duration::from_secs(3);

/// A node of a cluster that does not answer holds up the others for so long.
const NODE: Duration = Duration::from_millis(500);

/// For what is not on a call's way: connecting.
const UNHURRIED: Duration = Duration::from_secs(1);

/// Where Redis is. Cheap to clone.
#[derive(Clone)]
pub struct Primary(Way);

#[derive(Clone)]
enum Way {
    Url(Client),
    Sentinels { sentinels: Vec<ConnectionInfo>, master: String, node: SentinelNodeConnectionInfo },
    Cluster { nodes: Vec<Client>, all: Box<ClusterClient> },
}

impl Primary {
    /// As configured; none where Redis is not used.
    ///
    /// # Errors
    /// When it is not said which Redis, or a URL is none. Neither URL nor password is in the message.
    pub fn of(config: &RedisConfig) -> anyhow::Result<Option<Self>> {
        let RedisConfig { url, sentinels, master, cluster, username, password, sentinel_password } = config;
        let ways = usize::from(url.is_some()) + usize::from(!sentinels.is_empty()) + usize::from(!cluster.is_empty());
        ensure!(ways <= 1, "more than one of url, sentinels and cluster is given: where is Redis?");
        match (sentinels.is_empty(), master) {
            (true, Some(_)) => bail!("master is given without sentinels to ask for it"),
            (false, None) => bail!("sentinels are given without the name of their master"),
            _ => {}
        }
        if sentinels.is_empty() {
            ensure!(sentinel_password.is_none(), "sentinel_password is given without sentinels");
            let own = cluster.is_empty() && (username.is_some() || password.is_some());
            ensure!(!own, "username and password are for a sentinels' master or a cluster; a url holds its own");
        }
        let node = |urls: &[ConnectionInfo]| node(urls, username.as_deref(), password.as_ref());
        if let Some(url) = url {
            return Ok(Some(Self(Way::Url(Client::open(url.expose().as_str()).context("url")?))));
        }
        if let Some(master) = master {
            let sentinels: Vec<_> = sentinels
                .iter()
                .map(|url| sentinel(url.expose(), sentinel_password.as_ref()))
                .collect::<Result<_, _>>()?;
            let node = node(&sentinels).context("sentinels")?;
            return Ok(Some(Self(Way::Sentinels { sentinels, master: master.clone(), node })));
        }
        if cluster.is_empty() {
            return Ok(None);
        }
        let nodes = cluster.iter().map(|url| member(url.expose(), username.as_deref(), password.as_ref()));
        let nodes: Vec<ConnectionInfo> = nodes.collect::<anyhow::Result<_>>()?;
        node(&nodes).context("cluster")?;
        let all = ClusterClient::builder(nodes.clone())
            .connection_timeout(UNHURRIED)
            .response_timeout(UNHURRIED)
            .build()
            .context("cluster")?;
        let nodes = nodes.into_iter().map(Client::open).collect::<RedisResult<_>>().context("cluster")?;
        Ok(Some(Self(Way::Cluster { nodes, all: Box::new(all) })))
    }

    /// A client of the Redis that takes writes now. Ask again for every connection: sentinels may have made another the
    /// master. Of a cluster it is any node that answers, which is as good as another for publishing and subscribing, since
    /// nodes pass on to all others what is published: not for keys. Answers within three seconds, or half a second for
    /// each node of a cluster that does not answer.
    ///
    /// # Errors
    /// When no sentinel names a master that is one, or no node answers.
    pub async fn client(&self) -> RedisResult<Client> {
        match &self.0 {
            Way::Url(client) => Ok(client.clone()),
            Way::Sentinels { sentinels, master, node } => {
                let mut asked = Sentinel::build(sentinels.clone())?;
                timeout(DEADLINE, asked.async_master_for(master, Some(node)))
                    .await
                    .unwrap_or_else(|_| Err(RedisError::from((ErrorKind::Io, "the sentinels do not answer"))))
            }
            Way::Cluster { nodes, .. } => {
                // Not all replicas of all services at the same node.
                let mut nodes: Vec<&Client> = nodes.iter().collect();
                nodes.shuffle(&mut rand::rng());
                for node in nodes {
                    let answers = async { node.get_multiplexed_async_connection().await?.ping().await };
                    if timeout(NODE, answers).await.is_ok_and(|answer| answer.is_ok()) {
                        return Ok(node.clone());
                    }
                }
                Err(RedisError::from((ErrorKind::Io, "no node of the cluster answers")))
            }
        }
    }

    /// A connection for commands on keys. Those of one command must lie on one node of a cluster.
    ///
    /// # Errors
    /// When there is none to be had.
    pub(crate) async fn connection(&self) -> RedisResult<Connection> {
        if let Way::Cluster { all, .. } = &self.0 {
            return all.get_async_connection().await.map(Connection::Cluster);
        }
        let unhurried =
            AsyncConnectionConfig::new().set_connection_timeout(Some(UNHURRIED)).set_response_timeout(Some(UNHURRIED));
        let client = self.client().await?;
        client.get_multiplexed_async_connection_with_config(&unhurried).await.map(Connection::One)
    }
}

/// To one Redis, or to all nodes of a cluster. Cheap to clone; clones share it.
#[derive(Clone)]
pub(crate) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(command),
            Self::Cluster(all) => all.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(commands, offset, count),
            Self::Cluster(all) => all.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.get_db(),
            Self::Cluster(all) => all.get_db(),
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

/// A node of a cluster that configuration names; the cluster names the others.
fn member(url: &str, username: Option<&str>, password: Option<&Secret<String>>) -> anyhow::Result<ConnectionInfo> {
    let info = url.into_connection_info().context("cluster")?;
    ensure!(info.redis_settings().db() == 0, "cluster: a cluster has one database, 0");
    let mut own = info.redis_settings().clone();
    ensure!(
        own.password().is_none() && own.username().is_none(),
        "cluster: a url holds no user and no password there; username and password are for all nodes"
    );
    if let Some(username) = username {
        own = own.set_username(username);
    }
    if let Some(password) = password {
        own = own.set_password(password.expose());
    }
    Ok(info.set_redis_settings(own))
}

/// How the Redis that sentinels name is spoken to: by TLS if they are. All of them are, or none.
fn node(
    sentinels: &[ConnectionInfo],
    username: Option<&str>,
    password: Option<&Secret<String>>,
) -> anyhow::Result<SentinelNodeConnectionInfo> {
    let secure = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    let some = sentinels.iter().any(secure);
    ensure!(some == sentinels.iter().all(secure), "redis:// and rediss:// do not go together");
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
    fn redis_is_at_a_url_or_where_sentinels_say_or_a_cluster_or_nowhere() {
        assert!(read("").unwrap().is_none());
        assert!(read("url = 'rediss://:swordfish@redis:6379'").unwrap().is_some());
        let both_secure = "sentinels = ['rediss://a:26379', 'rediss://b:26379']\nmaster = 'haetae'\npassword = 'x'";
        assert!(read(both_secure).unwrap().is_some());
        assert!(read("cluster = ['redis://a:6379', 'redis://b:6379']\npassword = 'x'").unwrap().is_some());
    }

    #[test]
    fn what_does_not_say_where_redis_is_is_a_fault_with_its_reason() {
        let sentinels = "sentinels = ['redis://a:26379']\n";
        for (toml, why) in [
            (format!("url = 'redis://r'\nmaster = 'm'\n{sentinels}"), "more than one"),
            ("url = 'redis://r'\ncluster = ['redis://a']".to_owned(), "more than one"),
            (format!("cluster = ['redis://a']\nmaster = 'm'\n{sentinels}"), "more than one"),
            ("url = 'redis://r'\nmaster = 'm'".to_owned(), "without sentinels"),
            (sentinels.to_owned(), "without the name"),
            ("master = 'm'".to_owned(), "without sentinels"),
            ("url = 'redis://r'\npassword = 'swordfish'".to_owned(), "a url holds its own"),
            ("cluster = ['redis://a']\nsentinel_password = 'swordfish'".to_owned(), "without sentinels"),
            ("cluster = ['redis://a', 'rediss://b']".to_owned(), "do not go together"),
            ("cluster = ['redis://a/1']".to_owned(), "one database"),
            ("cluster = ['redis://:swordfish@a']".to_owned(), "for all nodes"),
            ("cluster = ['sword://:fish@a']".to_owned(), "cluster"),
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
