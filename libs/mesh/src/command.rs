//! The command line that every service has.

use std::path::PathBuf;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Serve until told to end.
    Run(Option<PathBuf>),
    /// Say what the configuration comes to, or what is wrong with it.
    CheckConfig(Option<PathBuf>),
    /// Bring the database's tables up to date, and end.
    Migrate {
        /// Configuration, of which only `[database]` is read.
        file: Option<PathBuf>,
        /// The role that the service itself connects as.
        grant: Option<String>,
    },
    Version,
    Help,
}

impl Command {
    pub(crate) fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let (mut file, mut grant, mut command) = (None, None, None);
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            let mut value =
                |what: &str| value.clone().or_else(|| arguments.next()).ok_or_else(|| format!("{name} needs a {what}"));
            match name {
                "--help" | "-h" => return Ok(Self::Help),
                "--version" | "-V" => return Ok(Self::Version),
                "--config" => file = Some(PathBuf::from(value("file")?)),
                "--grant" => grant = Some(value("role")?),
                "check-config" | "migrate" if command.is_none() => command = Some(argument),
                _ => return Err(format!("unknown argument `{argument}`")),
            }
        }
        match (command.as_deref(), grant) {
            (Some("migrate"), grant) => Ok(Self::Migrate { file, grant }),
            (_, Some(_)) => Err("--grant belongs to migrate".to_owned()),
            (Some(_), None) => Ok(Self::CheckConfig(file)),
            (None, None) => Ok(Self::Run(file)),
        }
    }
}

pub(crate) fn usage(name: &str) -> String {
    format!(
        "Usage: {name} [--config FILE] [check-config | migrate [--grant ROLE]]\n\n\
         Without a command the service runs until it gets SIGTERM or SIGINT.\n\n\
         Commands:\n  \
         check-config   print the effective configuration with secrets hidden, or every fault; needs no database\n  \
         migrate        bring the database's tables up to date; reads only [database]\n\n\
         Options:\n  \
         --config FILE  configuration as TOML; HAETAE__SECTION__KEY in the environment overrides it\n  \
         --grant ROLE   with migrate: let the role that the service connects as read and write, and no more\n  \
         --version      print the version\n  \
         --help         print this"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Command, String> {
        Command::read(arguments.iter().map(|a| (*a).to_owned()))
    }

    #[test]
    fn the_command_line_is_small_and_strict() {
        assert_eq!(read(&[]), Ok(Command::Run(None)));
        assert_eq!(read(&["check-config", "--config", "a.toml"]), Ok(Command::CheckConfig(Some("a.toml".into()))));
        assert_eq!(read(&["--config=a.toml"]), Ok(Command::Run(Some("a.toml".into()))));
        assert_eq!(read(&["--version"]), Ok(Command::Version));
        assert!(read(&["--confg", "a"]).is_err());
        assert!(read(&["--config"]).is_err());
        assert!(read(&["check-config", "migrate"]).is_err());
    }

    #[test]
    fn a_role_is_granted_to_by_migrate_alone() {
        let granted = |grant: Option<&str>| Ok(Command::Migrate { file: None, grant: grant.map(str::to_owned) });
        assert_eq!(read(&["migrate"]), granted(None));
        assert_eq!(read(&["migrate", "--grant", "haetae_freeze"]), granted(Some("haetae_freeze")));
        assert_eq!(read(&["--grant=haetae_freeze", "migrate"]), granted(Some("haetae_freeze")));
        assert!(read(&["--grant", "haetae_freeze"]).is_err());
        assert!(read(&["migrate", "--grant"]).is_err());
    }
}
