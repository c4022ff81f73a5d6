//! Labels, in and out.

use std::time::Duration;

use haetae_wire::{
    intake::v1::{
        self, ImportLabelsRequest, ImportLabelsResponse, LabelChunk, import_labels_request::Part,
        label_service_client::LabelServiceClient,
    },
    label::{MOST_BYTES, MOST_LABELS},
    tracking::v1::{Label, LabelPack},
};
use prost::Message;
use tokio::sync::mpsc;
use tonic::{Streaming, service::interceptor::InterceptedService};

use super::{Bearer, Peer, line, stated};
use crate::{failure::Failure, profile::Profile};

const GO_ON: &str = "The same command goes on where it broke off.";

/// The labels' side of intake, as one person speaks to it.
pub(crate) struct Labels {
    client: LabelServiceClient<InterceptedService<Peer, Bearer>>,
    purpose: Option<String>,
}

/// A pack on its way in.
pub(crate) struct Import {
    parts: mpsc::Sender<ImportLabelsRequest>,
    answers: Streaming<ImportLabelsResponse>,
}

impl Labels {
    /// Prepares the line; connects with the first call.
    pub(crate) fn open(
        profile: &Profile,
        person: Option<&str>,
        purpose: Option<String>,
        timeout: Option<Duration>,
    ) -> Result<Self, Failure> {
        let (peer, bearer) = line(profile, person, timeout)?;
        Ok(Self { client: LabelServiceClient::with_interceptor(peer, bearer), purpose: stated(purpose, profile) })
    }

    fn purpose(&self) -> Result<String, Failure> {
        self.purpose.clone().ok_or_else(Failure::no_purpose)
    }

    /// Begins to import a pack, or goes on where an earlier attempt broke off.
    pub(crate) async fn import(&mut self, pack: LabelPack) -> Result<(Import, ImportLabelsResponse), Failure> {
        // One part is under way at a time.
        let (parts, queue) = mpsc::channel(1);
        let part = |part| ImportLabelsRequest { part: Some(part) };
        // There is room: nothing was sent yet.
        let _ = parts.try_send(part(Part::Pack(pack)));
        let sent = futures::stream::unfold(queue, |mut queue| async { Some((queue.recv().await?, queue)) });
        let mut answers = self.client.import_labels(sent).await?.into_inner();
        let answer = answers.message().await?.ok_or_else(broken_off)?;
        Ok((Import { parts, answers }, answer))
    }

    /// All that is said of an address.
    pub(crate) async fn of(&mut self, address: &str) -> Result<v1::GetLabelsResponse, Failure> {
        let asked = v1::GetLabelsRequest { address: address.to_owned(), purpose: self.purpose()? };
        Ok(self.client.get_labels(asked).await?.into_inner())
    }

    pub(crate) async fn packs(&mut self) -> Result<v1::ListLabelPacksResponse, Failure> {
        let asked = v1::ListLabelPacksRequest { purpose: self.purpose()? };
        Ok(self.client.list_label_packs(asked).await?.into_inner())
    }

    /// Labels of a pack, after as many.
    pub(crate) async fn page(&mut self, pack_id: &str, after: u64) -> Result<v1::ListLabelsResponse, Failure> {
        let asked = v1::ListLabelsRequest { pack_id: pack_id.to_owned(), after, purpose: self.purpose()? };
        Ok(self.client.list_labels(asked).await?.into_inner())
    }
}

impl Import {
    /// Sends labels, of which as many come before; gives what came of it.
    pub(crate) async fn send(&mut self, after: u64, labels: Vec<Label>) -> Result<ImportLabelsResponse, Failure> {
        let part = ImportLabelsRequest { part: Some(Part::Chunk(LabelChunk { after, labels })) };
        // Where nobody takes it any more, the answer says why.
        let _ = self.parts.send(part).await;
        match self.answers.message().await {
            Ok(answer) => answer.ok_or_else(broken_off),
            Err(status) => {
                let failure = Failure::from(status);
                Err(if failure.is_unavailable() { failure.hint(GO_ON) } else { failure })
            }
        }
    }
}

/// As many labels from the beginning as one message takes; at least one.
pub(crate) fn fitting(labels: &[Label]) -> &[Label] {
    let mut bytes = 0;
    let fits = labels.iter().take(MOST_LABELS).take_while(|label| {
        // With what goes around it.
        bytes += label.encoded_len() + 16;
        bytes < MOST_BYTES
    });
    let count = fits.count().max(1).min(labels.len());
    labels.split_at(count).0
}

fn broken_off() -> Failure {
    Failure::out_of_time("intake ended the import before its end").hint(GO_ON)
}

#[cfg(test)]
mod tests {
    use haetae_wire::tracking::v1::Attribution;

    use super::*;

    #[test]
    fn a_message_has_a_thousand_labels_and_fewer_where_they_are_long() {
        let label = |context: usize| Label {
            address: "a".into(),
            says: Some(Attribution { context: "x".repeat(context), ..Attribution::default() }),
        };
        assert_eq!(fitting(&vec![label(10); 2_500]).len(), MOST_LABELS);
        let long = vec![label(16_000); 100];
        let chunk = LabelChunk { after: u64::MAX, labels: fitting(&long).to_vec() };
        assert!(chunk.labels.len() > 20 && chunk.encoded_len() <= MOST_BYTES);
        assert_eq!(fitting(&[label(MOST_BYTES)]).len(), 1);
        assert!(fitting(&[]).is_empty());
    }
}
