//! Orders: made from a leg, checked against the authority they carry, signed.

use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use haetae_core::{ArrivalId, FreezeScope, Moment, Order, within};
use haetae_ledger::HandleError;
use haetae_seal::dsse::SigningKey;
use haetae_wire::keys::Keyring;
use haetae_wire::signed::{open_arrival, open_authorisation, sign_order};
use sqlx::PgConnection;
use time::Duration;

use crate::db;
use crate::leg::{Desired, Leg};

/// How far intake's clock may be ahead of ours: an order must not look older than its authorisation.
const CLOCKS: Duration = Duration::seconds(30);

/// What signs freezes and releases.
#[derive(Clone)]
pub(crate) struct Orders {
    pub(crate) key: Arc<SigningKey>,
    pub(crate) keyring: Arc<Keyring>,
    /// How long an exchange may take an order in.
    pub(crate) valid_for: Duration,
}

impl Orders {
    /// The envelope of a leg's next order.
    ///
    /// # Errors
    /// Poison where the order would go beyond its authorisation, or that is missing: it is not signed.
    pub(crate) async fn sign(
        &self,
        conn: &mut PgConnection,
        leg: &Leg,
        revision: NonZeroU32,
        desired: Desired,
        grounds: &[ArrivalId],
        now: Moment,
    ) -> Result<Vec<u8>, HandleError> {
        let signed = match desired {
            Desired::Frozen { .. } => db::in_force(conn, leg.line).await?,
            Desired::Released => db::cancellation(conn, leg.line, leg.id).await?,
        };
        let signed = signed.context("no authorisation covers the order").map_err(HandleError::Poison)?;
        let authorisation = open_authorisation(&signed, &self.keyring).map_err(HandleError::poison)?;

        let (mut arrivals, mut statements) = (Vec::new(), Vec::new());
        // A release needs no ground.
        for ground in grounds.iter().filter(|_| desired != Desired::Released) {
            let statement = db::arrival_envelope(conn, *ground, &leg.exchange).await?;
            let statement = statement.context("an arrival is missing").map_err(HandleError::Poison)?;
            arrivals.push(open_arrival(&statement, &self.keyring).map_err(HandleError::poison)?);
            statements.push(statement);
        }

        let early = authorisation.valid_from - now;
        let issued_at = if early.is_positive() && early <= CLOCKS { authorisation.valid_from } else { now };
        let lasts = issued_at.saturating_add(self.valid_for);
        let (desired, expires_at) = match desired {
            Desired::Frozen { cap, until } => {
                let scope = match leg.watch {
                    Some(_) => FreezeScope::CreditsOfTransactions,
                    None => FreezeScope::BalanceAndLaterCredits,
                };
                (haetae_core::Desired::Frozen { cap, until, scope }, lasts.min(authorisation.valid_until))
            }
            Desired::Released => (haetae_core::Desired::Released, lasts),
        };
        let order = Order {
            recipient: leg.exchange.clone(),
            leg: leg.id,
            revision,
            target: leg.target.clone(),
            asset: Some(leg.asset.clone()),
            desired,
            issued_at,
            expires_at,
            arrivals,
            hop: None,
        };
        within(&order, &authorisation).map_err(|breaches| {
            let breaches: Vec<String> = breaches.iter().map(ToString::to_string).collect();
            HandleError::Poison(anyhow!("an order was not signed: {}", breaches.join("; ")))
        })?;
        Ok(sign_order(&order, &signed, &statements, &self.key))
    }
}
