//! What each command does, and what all of them need.

mod brake;
mod confirm;
mod drain;
pub(crate) mod ends;
mod exchange;
mod freeze;
mod labels;
mod log;
mod order;
mod parked;
mod request;
mod status;
mod trace;
mod updates;
mod watch;

use haetae_wire::{
    intake::v1::{Request, RequestContent},
    registry::Registry,
};
use uuid::Uuid;

use crate::{
    args::{Cli, Command, Common, LabelsCommand, OrderCommand, ProfileCommand, RequestCommand},
    client::{Intake, Labels, Operations},
    content,
    failure::Failure,
    out::Out,
    profile::{self, Profile},
    show::Look,
};

/// What a command works with.
struct Desk {
    common: Common,
    profile: Profile,
    out: Out,
}

impl Desk {
    fn intake(&self) -> Result<Intake, Failure> {
        let common = &self.common;
        Intake::open(&self.profile, common.person.as_deref(), common.purpose.clone(), common.timeout)
    }

    fn labels(&self) -> Result<Labels, Failure> {
        let common = &self.common;
        Labels::open(&self.profile, common.person.as_deref(), common.purpose.clone(), common.timeout)
    }

    fn operations(&self) -> Result<Operations, Failure> {
        let common = &self.common;
        Operations::open(&self.profile, common.person.as_deref(), common.purpose.clone(), common.timeout)
    }
}

/// Does what the command line says.
pub(crate) async fn run(cli: Cli, colour: bool) -> Result<(), Failure> {
    // What needs no profile comes first, since it helps to write one.
    match cli.command {
        Command::Profile(ProfileCommand::Example) => return example(cli.common.json, profile::EXAMPLE),
        Command::Request(RequestCommand::Example { kind }) => return example(cli.common.json, content::example(kind)),
        _ => {}
    }
    if let Command::Order(OrderCommand::Verify { file, registry: Some(registry) }) = &cli.command {
        let registry = Registry::load(registry).map_err(|error| Failure::usage(error.to_string()))?;
        return order::verify(&Out::new(cli.common.json, Look { colour, ..Look::default() }), file, &registry);
    }
    if let Command::Labels(LabelsCommand::Check { files }) = &cli.command {
        return labels::check(&Out::new(cli.common.json, Look { colour, ..Look::default() }), files);
    }
    let profile = Profile::load(cli.common.profile.as_deref())?;
    let out = Out::new(cli.common.json, Look { colour, assets: profile.asset.clone() });
    let desk = Desk { common: cli.common, profile, out };
    match cli.command {
        Command::Confirm(args) => confirm::confirm(&desk, args).await,
        Command::Request(command) => request::run(&desk, command).await,
        Command::Watch(command) => watch::run(&desk, command).await,
        Command::Trace(args) => trace::run(&desk, args).await,
        Command::Freeze(command) => freeze::run(&desk, command).await,
        Command::Halt(args) => brake::halt(&desk, args).await,
        Command::Resume(args) => brake::resume(&desk, args).await,
        Command::Order(OrderCommand::Verify { file, .. }) => {
            let registry = desk.profile.registry()?.ok_or_else(order::no_registry)?;
            order::verify(&desk.out, &file, &registry)
        }
        Command::Labels(command) => labels::run(&desk, command).await,
        Command::Exchange(command) => exchange::run(&desk, command).await,
        Command::Status(args) => status::run(&desk, args).await,
        Command::Parked(command) => parked::run(&desk, command).await,
        Command::Drain(args) => drain::run(&desk, args).await,
        Command::Log(command) => log::run(&desk, command).await,
        Command::Profile(ProfileCommand::Example) => Ok(()),
    }
}

fn example(json: bool, text: &str) -> Result<(), Failure> {
    let document = || {
        let value: toml::Value = toml::from_str(text)?;
        Ok(readable(value))
    };
    Out::new(json, Look::default()).print(document, |_| text.to_owned())
}

/// TOML as JSON: date-times become texts.
fn readable(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(moment) => moment.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(readable).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, readable(value))).collect(),
    }
}

/// Hands in a request under an id that is said if the outcome is unknown.
async fn submit(intake: &mut Intake, request_id: Option<Uuid>, content: RequestContent) -> Result<Request, Failure> {
    let id = request_id.unwrap_or_else(Uuid::new_v4);
    intake.submit(id.to_string(), content).await.map_err(|failure| failure.repeat_with(id))
}
