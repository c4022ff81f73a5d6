//! `haetae halt` and `haetae resume`.

use super::{Desk, request, submit};
use crate::{
    args::{Brake, Scope},
    content::{self, Form, Names, ScopeForm, Wanted},
    failure::Failure,
};

pub(super) async fn halt(desk: &Desk, args: Brake) -> Result<(), Failure> {
    run(desk, args, Wanted::Halt).await
}

pub(super) async fn resume(desk: &Desk, args: Brake) -> Result<(), Failure> {
    run(desk, args, Wanted::Resume).await
}

async fn run(desk: &Desk, args: Brake, wanted: fn(ScopeForm) -> Wanted) -> Result<(), Failure> {
    let brake = desk.profile.brake.as_ref();
    let case_number = args.case_number.or_else(|| match &args.scope {
        Scope::Case { number } => Some(number.clone()),
        _ => brake.map(|brake| brake.case_number.clone()),
    });
    let legal_basis = args.basis.or_else(|| brake.map(|brake| brake.legal_basis.clone()));
    let (Some(case_number), Some(legal_basis)) = (case_number, legal_basis) else {
        return Err(Failure::usage("under which case and legal basis is this filed?")
            .hint("Give --file-under and --basis, or set [brake] in the profile."));
    };
    let scope = match args.scope {
        Scope::Everything => ScopeForm::Everything,
        Scope::Exchange { exchange } => ScopeForm::Exchange(exchange),
        Scope::Case { number } => ScopeForm::CaseNumber(number),
    };
    let form = Form {
        case_number: Some(case_number),
        legal_basis: Some(legal_basis),
        summary: args.summary,
        ..Form::wanting(wanted(scope))
    };
    let content = content::to_wire(&form, &Names::of(&desk.profile))?;
    let taken_in = submit(&mut desk.intake()?, args.request_id, content).await?;
    request::print(desk, &taken_in)
}
