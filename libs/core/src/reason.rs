//! Why something is refused: the names that travel in `ErrorInfo.reason` (domain `haetae`), what each
//! means and what the caller does about it. The table in the guide is generated from here.

/// The domain of every reason in `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "haetae";

/// The gRPC status code a reason travels with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request is wrong in itself.
    InvalidArgument,
    /// The state does not allow it.
    FailedPrecondition,
    /// It is not there, or not to be seen by the caller.
    NotFound,
    /// It is there already.
    AlreadyExists,
    /// The caller may not.
    PermissionDenied,
    /// Who the caller is has not been shown.
    Unauthenticated,
    /// Too much.
    ResourceExhausted,
    /// Not now.
    Unavailable,
    /// Too late.
    DeadlineExceeded,
    /// Someone else changed it meanwhile.
    Aborted,
    /// A position that is not in the log.
    OutOfRange,
    /// A fault of ours.
    Internal,
}

macro_rules! reasons {
    ($($variant:ident $name:literal $code:ident $meaning:literal => $remedy:literal)*) => {
        /// A reason for a refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name that travels.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The status code it travels with.
            pub const fn code(self) -> Code {
                match self { $(Self::$variant => Code::$code,)* }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What the caller does about it.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

reasons! {
    InvalidRequest "INVALID_REQUEST" InvalidArgument "The request has faults; each is a field violation with a reason of its own." => "Mend every violation listed; nothing was changed."
    FieldMissing "FIELD_MISSING" InvalidArgument "A required field is empty." => "Fill it in."
    FieldMalformed "FIELD_MALFORMED" InvalidArgument "A field does not have the form its contract states." => "See the field's comment in the contract."
    AddressMalformed "ADDRESS_MALFORMED" InvalidArgument "Not an address or asset in CAIP-10 or CAIP-19 form." => "Write it as chain:address, such as eip155:1:0x…"
    AddressChecksum "ADDRESS_CHECKSUM" InvalidArgument "The address has a wrong checksum: it is most likely mistyped." => "Copy the address again from its source."
    ChainNotSupported "CHAIN_NOT_SUPPORTED" InvalidArgument "No service reads this chain, or no exchange in reach takes deposits on it." => "See the supported chains; ask the operators for others."
    TaintRuleNotSupported "TAINT_RULE_NOT_SUPPORTED" InvalidArgument "Money cannot be traced by this rule on this chain: its nodes do not say what an account had at a block." => "Choose traced-first or poison."
    WrongChain "WRONG_CHAIN" InvalidArgument "Address and asset, or address and exchange, are on different chains; or the address is one of another network." => "Name address and assets on their own chain, and exchanges that take it."
    AmountMalformed "AMOUNT_MALFORMED" InvalidArgument "Not an integer in the asset's smallest unit between 0 and 2^256−1." => "Send digits only: no sign, no fraction, no separators."
    AmountZero "AMOUNT_ZERO" InvalidArgument "The amount is zero where that makes no sense." => "State an amount of at least 1."
    UnknownExchange "UNKNOWN_EXCHANGE" InvalidArgument "No exchange of that name is in the registry." => "List the exchanges and use a name from there."
    UnknownLegalBasis "UNKNOWN_LEGAL_BASIS" InvalidArgument "The rules know no legal basis of that name." => "Use a basis from the agency's rules."
    KindNotAllowed "KIND_NOT_ALLOWED" InvalidArgument "This legal basis does not allow this kind of request to this agency." => "Choose another basis, or have an agency with the power submit it."
    DocumentMissing "DOCUMENT_MISSING" InvalidArgument "The legal basis requires a document." => "State the document's number, issuer, dates and SHA-256."
    DocumentExpired "DOCUMENT_EXPIRED" InvalidArgument "The document is not valid any more, or not yet." => "Obtain a valid document."
    PeriodOverLimit "PERIOD_OVER_LIMIT" InvalidArgument "The period is longer than the legal basis or the document allows." => "Ask for a shorter period."
    CapOverLimit "CAP_OVER_LIMIT" InvalidArgument "The amount is more than the legal basis allows, or than was stolen." => "Ask for less."
    LimitOverLimit "LIMIT_OVER_LIMIT" InvalidArgument "A limit is wider than the legal basis allows." => "Ask for a narrower limit, or leave it 0 for the basis' own."
    StartNotFound "START_NOT_FOUND" InvalidArgument "The transaction that a watch is to begin with is in no block of the chain, or moves nothing of what was stolen to its root or from it." => "Check the transaction, the root and the assets. While the transaction waits for a block, watch without a start."
    TooManyWatches "TOO_MANY_WATCHES" InvalidArgument "The case, or the agency, has as many watches under way as the legal basis allows." => "End a watch that is not needed any more, or have the limit raised in the agency's rules."
    RequestIdReused "REQUEST_ID_REUSED" AlreadyExists "This request_id was used with other content." => "Use a fresh UUID for new content; the same id only to repeat the same call."
    NotFound "NOT_FOUND" NotFound "There is nothing of that id that the caller may see." => "Check the id, and whether the case is shared with the caller's unit."
    SelfApproval "SELF_APPROVAL" PermissionDenied "The person who asked may not approve." => "Have another authorised person approve."
    AlreadyDecided "ALREADY_DECIDED" FailedPrecondition "This person has decided on the request before." => "Have another authorised person decide."
    WrongState "WRONG_STATE" FailedPrecondition "The request is not in a state that allows this." => "Read the request; its state says what is possible."
    RoleMissing "ROLE_MISSING" PermissionDenied "The person does not have the role this needs." => "Have a person with the role do it."
    CallerNotAllowed "CALLER_NOT_ALLOWED" PermissionDenied "The caller's certificate does not belong to a role that may call this method." => "See the callers option in the contract."
    TokenMissing "TOKEN_MISSING" Unauthenticated "No person's token came with the call." => "Send `authorization: Bearer <token>`."
    TokenExpired "TOKEN_EXPIRED" Unauthenticated "The person's token has expired." => "Obtain a new token and repeat the call."
    TokenForeign "TOKEN_FOREIGN" Unauthenticated "The token is of another issuer, for another audience, or of another agency than the system's." => "Use a token of the agency's own issuer, through the agency's own system."
    TokenInvalid "TOKEN_INVALID" Unauthenticated "The token cannot be read or its signature is wrong." => "Obtain a new token."
    PurposeMissing "PURPOSE_MISSING" InvalidArgument "A read must state its purpose." => "Fill in `purpose`; it is recorded."
    PageTokenInvalid "PAGE_TOKEN_INVALID" InvalidArgument "The page token or cursor is not one that this server gave." => "Start again without one."
    RateLimited "RATE_LIMITED" ResourceExhausted "The person, system or unit has used up its share for now." => "Wait as long as RetryInfo says."
    Overloaded "OVERLOADED" Unavailable "The server is handling as much as it can." => "Wait as long as RetryInfo says and repeat the same call."
    DeadlineTooShort "DEADLINE_TOO_SHORT" DeadlineExceeded "Too little time is left to do the work." => "Call with a longer deadline."
    DeadlineExceeded "DEADLINE_EXCEEDED" DeadlineExceeded "The work was not done in time; whether it took effect is unknown." => "Repeat the same call with the same request_id."
    PeerUnavailable "PEER_UNREACHABLE" Unavailable "A service that the answer needs cannot be reached; the call did not take effect." => "Wait as long as RetryInfo says and repeat the same call."
    PeerLost "PEER_LOST" Unavailable "The connection broke while the call was under way; whether it took effect is unknown." => "Repeat the same call with the same request_id."
    Draining "DRAINING" Unavailable "This replica is going down." => "Repeat the call, or resume the stream from its cursor; another replica answers."
    MessageTooLarge "MESSAGE_TOO_LARGE" ResourceExhausted "The message is larger than the server takes." => "Send less at once."
    Conflict "CONFLICT" Aborted "Another call changed the same thing at the same time." => "Repeat the same call with the same request_id."
    CursorForeign "LOG_MISMATCH" FailedPrecondition "The cursor belongs to another log." => "Stop: the log was replaced. Have its operator explain before following the new one."
    CursorAhead "CURSOR_AHEAD" FailedPrecondition "The cursor is ahead of the log: the log was rolled back." => "Stop: entries that were acted on are missing. Have the log's operator restore them."
    Internal "INTERNAL" Internal "A fault of the service; it is recorded." => "Repeat the call later; tell the operators the time of the call."
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_have_the_form_that_aip_193_asks_for() {
        let names: BTreeSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for name in names {
            assert!(name.len() <= 63 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{name}");
        }
    }
}
