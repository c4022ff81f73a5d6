//! `haetae request`.

use haetae_wire::{
    exchange::v1::DecisionRole,
    intake::v1::{
        ListRequestsResponse, Request, RequestContent, RequestState, halt_scope::Scope, request_content::Kind,
    },
};
use serde_json::json;
use uuid::Uuid;

use super::{Desk, confirm, submit, updates};
use crate::{
    args::{Decide, RequestCommand},
    content::{self, Names, Wanted},
    failure::Failure,
    json,
    show::{Look, NOTHING, Tone, duration, or_nothing, safe, time, words},
    table::{Rows, facts, plain},
};

pub(super) async fn run(desk: &Desk, command: RequestCommand) -> Result<(), Failure> {
    match command {
        RequestCommand::Submit { file, request_id } => {
            let form = content::read(&file)?;
            let case = match (&form.wanted, &desk.profile.brake) {
                (Wanted::Halt(_) | Wanted::Resume(_), Some(brake)) => brake.into(),
                _ => desk.profile.case(form.case_number.as_deref())?,
            };
            let form = content::complete(form, case, desk.profile.officer.clone());
            let content = content::to_wire(&form, &Names::of(&desk.profile))?;
            let taken_in = submit(&mut desk.intake()?, request_id, content).await?;
            print(desk, &taken_in)
        }
        RequestCommand::Approve(decide) => {
            let (id, target, mut intake) = deciding(desk, &decide)?;
            let request = intake.approve(id.to_string(), target).await.map_err(|failure| failure.repeat_with(id))?;
            print(desk, &request)
        }
        RequestCommand::Reject { decide, reason } => {
            let (id, target, mut intake) = deciding(desk, &decide)?;
            let request =
                intake.reject(id.to_string(), target, reason).await.map_err(|failure| failure.repeat_with(id))?;
            print(desk, &request)
        }
        RequestCommand::Cancel { decide, reason } => {
            let (id, target, mut intake) = deciding(desk, &decide)?;
            let request =
                intake.cancel(id.to_string(), target, reason).await.map_err(|failure| failure.repeat_with(id))?;
            print(desk, &request)
        }
        RequestCommand::Show { id } => {
            let request = desk.intake()?.request(id.to_string()).await?;
            print(desk, &request)
        }
        RequestCommand::List { state, limit } => {
            let state = state.and_then(|state| RequestState::try_from(state).ok()).unwrap_or_default();
            let list = desk.intake()?.requests(state, limit).await?;
            desk.out.print(|| json::of(&list), |look| table(&list, look))
        }
        RequestCommand::Answers { id, wait } => confirm::answers(desk, id, wait).await,
        RequestCommand::Follow { id, after, period } => updates::follow(desk, id, after, period).await,
        // Needs no profile: printed before one is read.
        RequestCommand::Example { .. } => Ok(()),
    }
}

fn deciding(desk: &Desk, decide: &Decide) -> Result<(Uuid, String, crate::client::Intake), Failure> {
    Ok((decide.request_id.unwrap_or_else(Uuid::new_v4), decide.id.to_string(), desk.intake()?))
}

/// Prints a request and where it stands.
pub(super) fn print(desk: &Desk, request: &Request) -> Result<(), Failure> {
    desk.out.print(|| Ok(json!({"request": json::of(request)?})), |look| text(request, look))
}

fn text(request: &Request, look: &Look) -> String {
    let none = RequestContent::default();
    let content = request.content.as_ref().unwrap_or(&none);
    let case = request.case.as_ref();
    let document = content.document.as_ref();
    let authorised: Vec<_> = request
        .authorisations
        .iter()
        .map(|a| format!("{} ({})", safe(&a.exchange), safe(&a.authorisation_id)))
        .collect();
    let exchanges: Vec<_> = content.exchanges.iter().map(|name| safe(name)).collect();
    let mut text = facts(&[
        ("request", safe(&request.request_id)),
        ("state", look.toned(tone(request.state()), &state(request))),
        ("reason", safe(&request.reason)),
        ("case", case.map(|c| [&c.agency, &c.unit, &c.number].map(|part| safe(part)).join(" / ")).unwrap_or_default()),
        ("legal basis", safe(&content.legal_basis)),
        ("document", document.map(|d| format!("{}, {}", safe(&d.number), safe(&d.issuer))).unwrap_or_default()),
        ("summary", safe(&content.summary)),
        ("exchanges", exchanges.join(", ")),
        ("asks for", wanted(content, look)),
        ("submitted", time(request.submitted_at.as_ref())),
        ("watch", safe(&request.watch_id)),
        ("authorised", authorised.join(", ")),
    ]);
    for decision in &request.decisions {
        let role = words(decision.role, DecisionRole::as_str_name, "DECISION_ROLE_");
        text.push_str(&format!("{role} by {} at {}\n", safe(&decision.person), time(decision.at.as_ref())));
    }
    text
}

/// Where a request stands, and what it waits for.
pub(super) fn state(request: &Request) -> String {
    let state = words(request.state, RequestState::as_str_name, "REQUEST_STATE_");
    if request.state() != RequestState::AwaitingApproval {
        return state;
    }
    let given = request.decisions.iter().filter(|decision| decision.role() == DecisionRole::Approved).count();
    let needed = request.approvals_needed;
    format!("{state}: {given} of {needed} given, lapses {}", time(request.lapses_at.as_ref()))
}

const fn tone(state: RequestState) -> Tone {
    match state {
        RequestState::AwaitingApproval | RequestState::Approved => Tone::Wait,
        RequestState::InEffect => Tone::Good,
        RequestState::Rejected | RequestState::Lapsed => Tone::Bad,
        RequestState::Cancelled | RequestState::Closed => Tone::Quiet,
        RequestState::Unspecified => Tone::Plain,
    }
}

fn wanted(content: &RequestContent, look: &Look) -> String {
    let account = |target: Option<&haetae_wire::exchange::v1::Target>| {
        target.map_or(NOTHING.to_owned(), |target| safe(&target.account))
    };
    let amounts = |amounts: &[haetae_wire::exchange::v1::AssetAmount]| {
        amounts.iter().map(|a| look.amount(&a.asset, &a.amount)).collect::<Vec<_>>().join(", ")
    };
    let scope = |scope: Option<&haetae_wire::intake::v1::HaltScope>| match scope.and_then(|s| s.scope.as_ref()) {
        Some(Scope::Everything(_)) => "everything".to_owned(),
        Some(Scope::Exchange(exchange)) => format!("exchange {}", safe(exchange)),
        Some(Scope::CaseNumber(number)) => format!("case {}", safe(number)),
        None => NOTHING.to_owned(),
    };
    match &content.kind {
        Some(Kind::ConfirmAddress(confirm)) => format!("who holds {}", account(confirm.target.as_ref())),
        Some(Kind::Watch(watch)) => {
            let freezing = watch.standing_freeze.as_ref().map(|terms| {
                let period = duration(terms.freeze_period.as_ref());
                format!("; freezing what arrives, at most {} for {period}", amounts(&terms.caps))
            });
            format!(
                "a watch from {} for {}; stolen {}{}",
                account(watch.root.as_ref()),
                duration(watch.period.as_ref()),
                amounts(&watch.stolen),
                freezing.unwrap_or_default()
            )
        }
        Some(Kind::StandingFreeze(standing)) => {
            let terms = standing.terms.as_ref();
            format!(
                "freezing what watch {} finds arriving, at most {} for {}",
                safe(&standing.watch_id),
                terms.map(|terms| amounts(&terms.caps)).unwrap_or_default(),
                duration(terms.and_then(|terms| terms.freeze_period.as_ref()))
            )
        }
        Some(Kind::Freeze(freeze)) => {
            let targets: Vec<_> = freeze.targets.iter().map(|target| account(Some(target))).collect();
            let period = duration(freeze.freeze_period.as_ref());
            format!("freezing {} at each of {} for {period}", amounts(&freeze.caps), targets.join(", "))
        }
        Some(Kind::Release(release)) if release.leg_ids.is_empty() => {
            format!(
                "releasing all that request {} froze, and ending its authority",
                safe(&release.frozen_by_request_id)
            )
        }
        Some(Kind::Release(release)) => {
            let legs: Vec<_> = release.leg_ids.iter().map(|leg| safe(leg)).collect();
            format!("releasing legs {} of request {}", legs.join(", "), safe(&release.frozen_by_request_id))
        }
        Some(Kind::Halt(halt)) => format!("halting {}", scope(halt.scope.as_ref())),
        Some(Kind::Resume(resume)) => format!("resuming {}", scope(resume.scope.as_ref())),
        Some(Kind::EndWatch(end)) => format!("ending watch {}", safe(&end.watch_id)),
        None => "something newer than this program".to_owned(),
    }
}

fn table(list: &ListRequestsResponse, look: &Look) -> String {
    let mut rows = Rows::new(look, &["request", "case", "asks for", "state", "submitted"]);
    for request in &list.requests {
        let kind = request.content.as_ref().and_then(|content| content.kind.as_ref());
        rows.row([
            plain(safe(&request.request_id)),
            plain(request.case.as_ref().map_or(NOTHING.to_owned(), |case| or_nothing(&case.number))),
            plain(kind.map_or(NOTHING, name)),
            (tone(request.state()), words(request.state, RequestState::as_str_name, "REQUEST_STATE_")),
            plain(time(request.submitted_at.as_ref())),
        ]);
    }
    let more = match list.next_page_token.as_str() {
        "" => "",
        _ => "Older requests are left out; --limit 0 shows all.\n",
    };
    format!("{}{more}", rows.print())
}

const fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::ConfirmAddress(_) => "confirm address",
        Kind::Watch(watch) if watch.standing_freeze.is_some() => "watch and freeze",
        Kind::Watch(_) => "watch",
        Kind::StandingFreeze(_) => "standing freeze",
        Kind::Freeze(_) => "freeze",
        Kind::Release(_) => "release",
        Kind::Halt(_) => "halt",
        Kind::Resume(_) => "resume",
        Kind::EndWatch(_) => "end watch",
    }
}

/// A request in one line, for streams.
pub(super) fn line(request: &Request, look: &Look) -> String {
    let kind = request.content.as_ref().and_then(|content| content.kind.as_ref()).map_or("request", name);
    format!("{kind}: {}", look.toned(tone(request.state()), &state(request)))
}

#[cfg(test)]
mod tests {
    use haetae_core::{ChainId, RequestKind};
    use haetae_wire::exchange::v1::{Case, Decision};
    use prost_types::Timestamp;

    use super::*;
    use crate::content::Form;

    fn request(kind: RequestKind) -> Request {
        let chain = ChainId::evm(1);
        let names = Names { chain: Some(&chain), assets: &[] };
        Request {
            request_id: "0d1c".into(),
            state: RequestState::AwaitingApproval.into(),
            case: Some(Case { agency: "knp".into(), unit: "cyber-1".into(), number: "2026-cyber-00412".into() }),
            content: Some(content::to_wire(&Form::parse(content::example(kind)).unwrap(), &names).unwrap()),
            decisions: vec![Decision {
                role: DecisionRole::Requested.into(),
                person: "ji-woo".into(),
                at: Some(Timestamp { seconds: 1_790_000_000, nanos: 0 }),
            }],
            approvals_needed: 1,
            ..Request::default()
        }
    }

    #[test]
    fn a_request_says_what_it_waits_for_and_who_decided() {
        let text = text(&request(RequestKind::Freeze), &Look::default());
        assert!(text.contains("state        awaiting approval: 0 of 1 given, lapses –\n"), "{text}");
        assert!(text.contains("case         knp / cyber-1 / 2026-cyber-00412\n"), "{text}");
        assert!(
            text.contains(
                "asks for     freezing 60000000000 of eip155:1/erc20:0xdAC17F958D2ee523a2206206994597C13D831ec7 at each \
                 of eip155:1:0x52908400098527886E0F7030069857D2E4169EE7 for 30days\n"
            ),
            "{text}"
        );
        assert!(text.ends_with("requested by ji-woo at 2026-09-21 14:13:20Z\n"), "{text}");
    }

    #[test]
    fn every_kind_is_put_into_words() {
        for (kind, words) in [
            (RequestKind::ConfirmAddress, "who holds eip155:1:0x5290"),
            (RequestKind::Watch, "a watch from eip155:1:0x5290"),
            (RequestKind::StandingFreeze, "freezing what watch 6f0c2b3e-8b7d-5a54-9d0f-3c1f5a2e7b90 finds arriving"),
            (RequestKind::Release, "releasing legs 1b2e6a9c-3f4d-5e60-8a7b-9c0d1e2f3a4b of request 0d1c7f7e"),
            (RequestKind::Halt, "halting exchange upbit"),
            (RequestKind::Resume, "resuming exchange upbit"),
            (RequestKind::EndWatch, "ending watch 6f0c2b3e-8b7d-5a54-9d0f-3c1f5a2e7b90"),
        ] {
            let wanted = wanted(request(kind).content.as_ref().unwrap(), &Look::default());
            assert!(wanted.starts_with(words), "{wanted}");
        }
    }

    #[test]
    fn a_list_that_was_cut_says_so() {
        let list = ListRequestsResponse { requests: vec![request(RequestKind::Watch)], next_page_token: "more".into() };
        let text = table(&list, &Look::default());
        assert!(text.contains("watch and freeze") && text.ends_with("--limit 0 shows all.\n"), "{text}");
    }
}
