//! TLS for both sides: TLS 1.3 and 1.2, HTTP/2, client certificates always, one crypto library (aws-lc).

use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use opentelemetry::{KeyValue, global};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use time::OffsetDateTime;

use crate::{
    config::{PeerTls, TlsFiles},
    identity::{ends_at, spiffe_of},
    reload::Reloaded,
};

/// One side of connections, with when its own certificate ends (seconds since 1970).
pub(crate) struct Side<C> {
    pub(crate) config: Arc<C>,
    pub(crate) ends_at: Option<i64>,
}

pub(crate) type ServerSide = Side<ServerConfig>;
pub(crate) type ClientSide = Side<ClientConfig>;

/// Lets operators see how long a side's own certificate has left, for as long as the side is in use.
pub(crate) fn tell_end<C: Send + Sync + 'static>(certificate: &str, side: &Arc<Reloaded<Side<C>>>) {
    let of = [KeyValue::new("certificate", certificate.to_owned())];
    let side = Arc::downgrade(side);
    global::meter("haetae.mesh")
        .f64_observable_gauge("haetae.tls.certificate.expires_in")
        .with_unit("s")
        .with_description("Time until the certificate in use ends; negative when it has")
        .with_callback(move |told| {
            if let Some(ends_at) = side.upgrade().and_then(|side| side.current().ends_at) {
                told.observe((ends_at - OffsetDateTime::now_utc().unix_timestamp()) as f64, &of);
            }
        })
        .build();
}

/// Builds and keeps current what a server presents and whom it trusts.
pub(crate) fn server(files: &TlsFiles) -> anyhow::Result<Reloaded<ServerSide>> {
    let paths = vec![files.cert.clone(), files.key.clone(), files.client_ca.clone()];
    Reloaded::open("server certificate", paths, |contents| {
        let material = Material::read(contents)?;
        let ends_at = material.ends_at();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(material.roots), provider())
            .build()
            .context("client authorities")?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(material.chain, material.key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session would carry a client certificate past its end or past its authority's removal.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(ServerSide { config: Arc::new(config), ends_at })
    })
}

/// Builds and keeps current what a caller presents. `server_name` is whom it expects: a SPIFFE id, or by default the
/// DNS name it connects to.
pub(crate) fn client(files: &PeerTls, server_name: Option<&str>) -> anyhow::Result<Reloaded<ClientSide>> {
    let paths = vec![files.cert.clone(), files.key.clone(), files.ca.clone()];
    let spiffe = server_name.filter(|name| name.starts_with("spiffe://")).map(str::to_owned);
    Reloaded::open("client certificate", paths, move |contents| {
        let material = Material::read(contents)?;
        let ends_at = material.ends_at();
        let verifier = Arc::new(PeerVerifier::new(material.roots, spiffe.clone())?);
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(material.chain, material.key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(ClientSide { config: Arc::new(config), ends_at })
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

struct Material {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: RootCertStore,
}

impl Material {
    /// From the contents of the certificate's, the key's and the authorities' file, in this order.
    fn read(contents: &[Vec<u8>]) -> anyhow::Result<Self> {
        let [cert, key, ca] = contents else {
            bail!("three files expected");
        };
        let chain = certificates(cert).context("certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| anyhow!("key: {e}"))?;
        let mut roots = RootCertStore::empty();
        for root in certificates(ca).context("authorities")? {
            roots.add(root).context("authorities")?;
        }
        Ok(Self { chain, key, roots })
    }

    fn ends_at(&self) -> Option<i64> {
        self.chain.first().and_then(|certificate| ends_at(certificate))
    }
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    if found.is_empty() {
        bail!("no certificate in the file");
    }
    Ok(found)
}

/// Checks the chain as webpki does, and the name as configured.
#[derive(Debug)]
struct PeerVerifier {
    roots: RootCertStore,
    spiffe: Option<String>,
    provider: Arc<CryptoProvider>,
    signatures: Arc<WebPkiServerVerifier>,
}

impl PeerVerifier {
    fn new(roots: RootCertStore, spiffe: Option<String>) -> anyhow::Result<Self> {
        let provider = provider();
        let signatures = WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), Arc::clone(&provider))
            .build()
            .context("authorities")?;
        Ok(Self { roots, spiffe, provider, signatures })
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        match &self.spiffe {
            Some(expected) if spiffe_of(end_entity).as_deref() != Some(expected) => {
                return Err(CertificateError::NotValidForName.into());
            }
            Some(_) => {}
            None => verify_server_name(&parsed, server_name)?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_verify_schemes()
    }
}
