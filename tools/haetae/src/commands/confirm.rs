//! `haetae confirm` and `haetae request answers`.

use std::{collections::BTreeSet, future::pending, time::Duration};

use haetae_wire::{
    exchange::v1::{Target, WalletRole},
    intake::v1::{
        FollowUpdatesResponse, Request, RequestState, follow_updates_response::Update, request_content::Kind,
    },
    keys::Keyring,
    tracking::v1::{Answer, Conclusion, Confirmation, ConfirmationLine},
};
use indicatif::ProgressBar;
use serde_json::json;
use tokio::time::{Instant, timeout};
use tonic::Streaming;
use uuid::Uuid;

use super::{Desk, request, submit};
use crate::{
    args::Confirm,
    client::Intake,
    content::{self, Form, Names, Wanted},
    failure::{Failure, counted},
    json,
    show::{Look, Tone, or_nothing, safe, time, word, words},
    statement::{Checked, check},
    table::{Rows, plain},
    trail,
};

/// Between two looks where nothing wakes us.
const TICK: Duration = Duration::from_secs(1);
/// Answers that come this close together are read together: every read is recorded.
const TOGETHER: Duration = Duration::from_millis(20);

pub(super) async fn confirm(desk: &Desk, args: Confirm) -> Result<(), Failure> {
    let mut intake = desk.intake()?;
    intake.purpose()?;
    let keys = keys(desk)?;
    let case = desk.profile.case(args.case_number.as_deref())?;
    let form = Form {
        legal_basis: args.basis,
        document: args.document.as_deref().map(content::read_document).transpose()?,
        summary: args.summary,
        exchanges: args.exchanges,
        ..Form::wanting(Wanted::confirmation_of(&args.address))
    };
    let form = content::complete(form, case, desk.profile.officer.clone());
    let names = Names { chain: args.chain.as_ref().or(desk.profile.chain.as_ref()), ..Names::of(&desk.profile) };
    let content = content::to_wire(&form, &names)?;
    let about = match &content.kind {
        Some(Kind::ConfirmAddress(asked)) => asked.target.clone(),
        _ => None,
    };
    let taken_in = submit(&mut intake, args.request_id, content).await?;
    // Nobody can say when another person will look at it.
    let wait = if taken_in.state() == RequestState::AwaitingApproval { Duration::ZERO } else { args.wait };
    let id = taken_in.request_id.clone();
    let answers = wait_for(desk, &mut intake, &id, wait).await.map_err(|failure| failure.hint(look_again(&id)))?;
    // What was asked is what was typed, whatever comes back.
    tell(desk, Some(&taken_in), &answers, about.as_ref(), keys.as_ref(), &id)
}

pub(super) async fn answers(desk: &Desk, id: Uuid, wait: Duration) -> Result<(), Failure> {
    let mut intake = desk.intake()?;
    let keys = keys(desk)?;
    let id = id.to_string();
    let answers = wait_for(desk, &mut intake, &id, wait).await?;
    tell(desk, None, &answers, answers.target.as_ref(), keys.as_ref(), &id)
}

fn keys(desk: &Desk) -> Result<Option<Keyring>, Failure> {
    Ok(desk.profile.registry()?.as_ref().map(Keyring::from_registry))
}

/// The answers, when all have answered or the time is up.
async fn wait_for(desk: &Desk, intake: &mut Intake, id: &str, wait: Duration) -> Result<Confirmation, Failure> {
    let until = Instant::now() + wait;
    let spinner = desk.out.spinner("asking".to_owned());
    let mut updates = if wait.is_zero() { None } else { intake.follow(String::new(), id.to_owned()).await.ok() };
    let mut latest = None;
    loop {
        match intake.confirmation(id.to_owned()).await {
            Ok(answers) => {
                say(&spinner, &answers);
                if answers.conclusion() != Conclusion::Open && outstanding(&answers) == 0 {
                    return Ok(answers);
                }
                latest = Some(answers);
            }
            // A replica may be restarting.
            Err(failure) if failure.is_unavailable() => {
                if Instant::now() >= until {
                    return latest.ok_or(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
        match until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            Some(left) => woken(&mut updates, left.min(TICK)).await,
            None => return latest.ok_or_else(|| Failure::out_of_time("no exchange has been asked yet")),
        }
    }
}

/// Returns when answers have come, at the latest after this time.
async fn woken(updates: &mut Option<Streaming<FollowUpdatesResponse>>, at_latest: Duration) {
    let answer = async {
        while let Some(stream) = updates {
            match stream.message().await {
                Ok(Some(update)) if matches!(update.update, Some(Update::Confirmation(_))) => break,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => *updates = None,
            }
        }
        let Some(stream) = updates else { return pending().await };
        while let Ok(Ok(Some(_))) = timeout(TOGETHER, stream.message()).await {}
    };
    // Late is no fault: whoever waits looks again either way.
    let _ = timeout(at_latest, answer).await;
}

fn outstanding(answers: &Confirmation) -> usize {
    answers.lines.iter().filter(|line| line.answer() == Answer::Pending).count()
}

fn say(spinner: &ProgressBar, answers: &Confirmation) {
    let (_, conclusion) = trail::conclusion(answers.conclusion());
    spinner.set_message(format!("{conclusion}; {} of {} still to answer", outstanding(answers), answers.lines.len()));
}

/// What follows from the answers that are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Held(String),
    NotHeld,
    Conflict(BTreeSet<String>),
    Open,
    /// At least one answer is not what its exchange signed.
    Refuted(BTreeSet<String>),
}

impl Verdict {
    fn of(answers: &Confirmation, checked: &[Checked]) -> Self {
        let among = |wanted: &dyn Fn(&ConfirmationLine, &Checked) -> bool| -> BTreeSet<String> {
            let lines = answers.lines.iter().zip(checked).filter(|(line, checked)| wanted(line, checked));
            lines.map(|(line, _)| line.exchange.clone()).collect()
        };
        let refuted = among(&|_, checked| matches!(checked, Checked::Refuted(_)));
        if !refuted.is_empty() {
            return Self::Refuted(refuted);
        }
        let held = among(&|line, _| line.answer() == Answer::Held);
        match (held.first(), held.len()) {
            (Some(exchange), 1) => Self::Held(exchange.clone()),
            (Some(_), _) => Self::Conflict(held),
            (None, _) if answers.conclusion() == Conclusion::NotHeld => Self::NotHeld,
            (None, _) => Self::Open,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Held(_) => "HELD",
            Self::NotHeld => "NOT_HELD",
            Self::Conflict(_) => "CONFLICT",
            Self::Open => "OPEN",
            Self::Refuted(_) => "REFUTED",
        }
    }

    fn print(&self, look: &Look) -> String {
        let list = |names: &BTreeSet<String>| names.iter().map(|name| safe(name)).collect::<Vec<_>>().join(", ");
        let (tone, more) = match self {
            Self::Held(exchange) => (Tone::Good, format!(" by {}", safe(exchange))),
            Self::NotHeld => (Tone::Plain, " by any exchange that was asked".to_owned()),
            Self::Conflict(all) => {
                (Tone::Bad, format!(": {} each say that they hold it; a person must look", list(all)))
            }
            Self::Open => (Tone::Wait, ": not every exchange has said HELD or NOT_HELD".to_owned()),
            Self::Refuted(all) => (Tone::Bad, format!(": do not act on this; see the answer of {}", list(all))),
        };
        format!("{}{more}", look.toned(tone, self.name()))
    }
}

fn tell(
    desk: &Desk,
    taken_in: Option<&Request>,
    answers: &Confirmation,
    about: Option<&Target>,
    keys: Option<&Keyring>,
    id: &str,
) -> Result<(), Failure> {
    let checked: Vec<_> = answers.lines.iter().map(|line| check(line, about, keys)).collect();
    let verdict = Verdict::of(answers, &checked);
    let document = || {
        let statements = answers.lines.iter().zip(&checked).map(|(line, checked)| {
            let fault = if let Checked::Refuted(why) = checked { Some(why) } else { None };
            json!({"exchange": line.exchange, "checked": checked.name(), "fault": fault})
        });
        Ok(json!({
            "request": taken_in.map(json::of).transpose()?,
            "confirmation": json::of(answers)?,
            "verdict": verdict.name(),
            "statements": statements.collect::<Vec<_>>(),
        }))
    };
    let text = |look: &Look| match taken_in {
        Some(request) if answers.lines.is_empty() => format!("request {id}: {}\n", request::state(request)),
        _ => format!("request {id}\n{}{}\n", table(answers, &checked, look), verdict.print(look)),
    };
    desk.out.print(document, text)?;
    match verdict {
        Verdict::Refuted(_) => Err(Failure::failed("an answer is not what its exchange signed")
            .hint("Tell the mesh's operators and the exchange; the statement is in --json.")),
        Verdict::Open if taken_in.is_some_and(|request| request.state() == RequestState::AwaitingApproval) => {
            Err(Failure::out_of_time("the request waits for another person's approval")
                .hint(format!("Another person: haetae request approve {id}"))
                .hint(look_again(id)))
        }
        Verdict::Open => {
            Err(Failure::out_of_time("no conclusion yet; open questions are asked again").hint(look_again(id)))
        }
        Verdict::Held(_) | Verdict::NotHeld | Verdict::Conflict(_) => Ok(()),
    }
}

fn look_again(id: &str) -> String {
    format!("Look again with: haetae request answers {id} --wait 30s")
}

fn table(answers: &Confirmation, checked: &[Checked], look: &Look) -> String {
    let target = answers.target.as_ref();
    let mut rows = Rows::new(look, &["exchange", "answer", "wallet role", "as of", "statement"]);
    for (line, checked) in answers.lines.iter().zip(checked) {
        let statement = match checked {
            Checked::Verified => (Tone::Good, "verified".to_owned()),
            Checked::NoStatement => (Tone::Quiet, "none".to_owned()),
            Checked::NoKeys => (Tone::Wait, "not checked: the profile names no registry".to_owned()),
            Checked::Refuted(why) => (Tone::Bad, format!("NOT BELIEVED: {}", safe(why))),
        };
        rows.row([
            plain(safe(&line.exchange)),
            (tone(line.answer()), answer(line)),
            plain(words(line.wallet_role, WalletRole::as_str_name, "WALLET_ROLE_")),
            plain(time(line.as_of.as_ref())),
            statement,
        ]);
    }
    let asked = counted(answers.lines.len(), "exchange");
    let account = target.map(|target| or_nothing(&target.account)).unwrap_or_default();
    format!("{account}, {asked} asked\n{}", rows.print())
}

fn answer(line: &ConfirmationLine) -> String {
    word(line.answer, Answer::as_str_name, "ANSWER_")
}

const fn tone(answer: Answer) -> Tone {
    match answer {
        Answer::Held => Tone::Good,
        Answer::NotHeld => Tone::Quiet,
        Answer::Unknown | Answer::Unavailable | Answer::Pending | Answer::Unspecified => Tone::Wait,
        Answer::Refused => Tone::Bad,
    }
}

/// One exchange's answer in one line, for streams.
pub(super) fn line(line: &ConfirmationLine, look: &Look) -> String {
    let account = line.target.as_ref().map(|target| safe(&target.account)).unwrap_or_default();
    let said = look.toned(tone(line.answer()), &answer(line));
    match line.answer() {
        Answer::Held => {
            let role = words(line.wallet_role, WalletRole::as_str_name, "WALLET_ROLE_");
            format!("{} about {account}: {said}, {role}", safe(&line.exchange))
        }
        _ => format!("{} about {account}: {said}", safe(&line.exchange)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(conclusion: Conclusion, lines: &[(&str, Answer)]) -> Confirmation {
        let line = |(exchange, answer): &(&str, Answer)| ConfirmationLine {
            exchange: (*exchange).into(),
            answer: (*answer).into(),
            wallet_role: i32::from(*answer == Answer::Held),
            ..Default::default()
        };
        Confirmation {
            target: Some(Target { account: "eip155:1:0xA".into(), memo: String::new() }),
            conclusion: conclusion.into(),
            lines: lines.iter().map(line).collect(),
            ..Default::default()
        }
    }

    fn verdict(conclusion: Conclusion, lines: &[(&str, Answer)]) -> Verdict {
        Verdict::of(&answers(conclusion, lines), &vec![Checked::Verified; lines.len()])
    }

    #[test]
    fn two_that_hold_it_are_a_conflict_whatever_the_service_concluded() {
        let lines = [("upbit", Answer::Held), ("korbit", Answer::NotHeld), ("binance", Answer::Held)];
        let both = BTreeSet::from(["binance".to_owned(), "upbit".to_owned()]);
        assert_eq!(verdict(Conclusion::Held, &lines), Verdict::Conflict(both));
    }

    #[test]
    fn silence_is_open_never_not_held() {
        let lines = [("upbit", Answer::NotHeld), ("korbit", Answer::Unavailable)];
        assert_eq!(verdict(Conclusion::Open, &lines), Verdict::Open);
        assert_eq!(verdict(Conclusion::Unspecified, &[]), Verdict::Open);
        assert_eq!(verdict(Conclusion::NotHeld, &lines[..1]), Verdict::NotHeld);
    }

    #[test]
    fn one_refuted_answer_spoils_the_verdict() {
        let lines = answers(Conclusion::Held, &[("upbit", Answer::Held)]);
        let verdict = Verdict::of(&lines, &[Checked::Refuted("forged".into())]);
        assert_eq!(verdict, Verdict::Refuted(BTreeSet::from(["upbit".to_owned()])));
    }

    #[test]
    fn the_table_has_each_exchanges_own_words() {
        let lines = answers(Conclusion::Held, &[("upbit", Answer::Held), ("korbit", Answer::Unavailable)]);
        let text = table(&lines, &[Checked::Verified, Checked::NoStatement], &Look::default());
        assert!(text.starts_with("eip155:1:0xA, 2 exchanges asked\n"), "{text}");
        let rows: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(rows.contains(&vec!["upbit", "HELD", "customer", "deposit", "–", "verified"]), "{text}");
        assert!(rows.contains(&vec!["korbit", "UNAVAILABLE", "–", "–", "none"]), "{text}");
    }
}
