//! Development certificates and keys.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use anyhow::Result;
use haetae_testkit::certs::{Ca, Identity, Leaf};
use haetae_testkit::keys::SigningKey;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::GeneralName;

/// As a server of the mesh looks at the certificate of its caller.
fn accepted_by(ca: &Ca, caller: &Identity) -> Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.cert_pem().as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
    let certificate = CertificateDer::from_pem_slice(caller.cert_pem.as_bytes())?;
    verifier.verify_client_cert(&certificate, &[], UnixTime::now())?;
    Ok(())
}

#[test]
fn a_certificate_names_its_holder_for_stock_clients_and_for_the_mesh() -> Result<()> {
    let ca = Ca::new("mesh")?;
    let identity =
        ca.issue(&Leaf { dns: &["intake.localhost"], spiffe: Some("spiffe://haetae.test/intake"), ..Leaf::default() })?;
    let leaf = CertificateDer::from_pem_slice(identity.cert_pem.as_bytes())?;
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf)?;
    let names = &leaf.subject_alternative_name()?.expect("has names").value.general_names;
    assert!(names.contains(&GeneralName::DNSName("intake.localhost")));
    assert!(names.contains(&GeneralName::URI("spiffe://haetae.test/intake")));
    assert!(names.contains(&GeneralName::IPAddress(&[127, 0, 0, 1])));
    let usage = leaf.extended_key_usage()?.expect("has usages").value;
    assert!(usage.client_auth && usage.server_auth);
    assert!(leaf.validity().is_valid());
    Ok(())
}

#[test]
fn only_its_own_authority_vouches_for_a_certificate() -> Result<()> {
    let (mesh, exchanges) = (Ca::new("mesh")?, Ca::new("exchanges")?);
    let identity = mesh.issue(&Leaf::default())?;
    accepted_by(&mesh, &identity)?;
    assert!(accepted_by(&exchanges, &identity).is_err());
    Ok(())
}

#[test]
fn an_expired_certificate_can_be_had() -> Result<()> {
    let ca = Ca::new("mesh")?;
    let expired = ca.issue(&Leaf { valid_for: time::Duration::minutes(-1), ..Leaf::default() })?;
    assert!(accepted_by(&ca, &expired).is_err());
    Ok(())
}

#[test]
fn private_keys_are_for_their_owner_only() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let identity = Ca::new("mesh")?.issue(&Leaf::default())?;
    identity.write_to(folder.path())?;
    SigningKey::ed25519()?.write_to(folder.path(), "log")?;
    for (file, mode) in
        [("tls.key", 0o600), ("tls.crt", 0o644), ("ca.crt", 0o644), ("log.pem", 0o600), ("log.pub.pem", 0o644)]
    {
        let found = std::fs::metadata(folder.path().join(file))?.permissions().mode() & 0o777;
        assert_eq!(found, mode, "{file}");
    }
    Ok(())
}
