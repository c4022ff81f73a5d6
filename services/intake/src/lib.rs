//! Should it be done? The one door for agency systems: requests, approvals, reads.
mod approval;
mod grant;
mod proposal;
mod submission;
