//! Certificate authorities for development and tests. Whoever needs two worlds of trust makes two [`Ca`]s.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::files;

/// A certificate authority with an ECDSA P-256 key that lives in memory only.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What a certificate says. It is always valid for 127.0.0.1 too, and for serving as well as for calling.
#[derive(Clone, Debug)]
pub struct Leaf<'a> {
    /// Names under which it is called.
    pub dns: &'a [&'a str],
    /// Addresses under which it is called.
    pub ips: &'a [IpAddr],
    /// Who it is, `spiffe://…`.
    pub spiffe: Option<&'a str>,
    /// From now; a negative time makes a certificate that has expired (up to an hour ago).
    pub valid_for: Duration,
}

impl Default for Leaf<'_> {
    /// `localhost`, nobody in particular, for a day.
    fn default() -> Self {
        Self { dns: &["localhost"], ips: &[], spiffe: None, valid_for: Duration::DAY }
    }
}

/// A certificate with its key and with the authority that vouches for it.
#[derive(Clone)]
pub struct Identity {
    /// The certificate chain without its root, PEM.
    pub cert_pem: String,
    /// The private key, PKCS#8 PEM.
    pub key_pem: String,
    /// The root, PEM.
    pub ca_pem: String,
}

impl Ca {
    /// An authority of that common name, valid for ten years.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = OffsetDateTime::now_utc();
        params.not_before = now - Duration::DAY;
        params.not_after = now + Duration::days(3650);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, key)? })
    }

    /// Its own certificate, PEM: what others trust.
    pub fn cert_pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate with a new ECDSA P-256 key.
    ///
    /// # Errors
    /// When a name or the SPIFFE id cannot stand in a certificate.
    pub fn issue(&self, leaf: &Leaf<'_>) -> Result<Identity> {
        let mut params = CertificateParams::default();
        let common_name = leaf.dns.first().copied().unwrap_or("haetae");
        params.distinguished_name.push(DnType::CommonName, common_name);
        for name in leaf.dns {
            let name = (*name).try_into().with_context(|| format!("not a DNS name: {name}"))?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        if let Some(id) = leaf.spiffe {
            let id = id.try_into().with_context(|| format!("not a SPIFFE id: {id}"))?;
            params.subject_alt_names.push(SanType::URI(id));
        }
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let addresses = leaf.ips.iter().copied().filter(|ip| *ip != loopback);
        params.subject_alt_names.extend(std::iter::once(loopback).chain(addresses).map(SanType::IpAddress));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let now = OffsetDateTime::now_utc();
        params.not_before = now - Duration::HOUR;
        params.not_after = now + leaf.valid_for;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok(Identity {
            cert_pem: params.signed_by(&key, &self.issuer)?.pem(),
            key_pem: key.serialize_pem(),
            ca_pem: self.cert_pem(),
        })
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").finish_non_exhaustive()
    }
}

impl Identity {
    /// Writes `tls.crt`, `tls.key` (readable by the owner only) and `ca.crt`, each replaced in one step, the key first
    /// and the certificate last. The folder is made where it is missing.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_to(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        files::replace(&folder.join("ca.crt"), &self.ca_pem, 0o644)?;
        files::replace(&folder.join("tls.key"), &self.key_pem, 0o600)?;
        files::replace(&folder.join("tls.crt"), &self.cert_pem, 0o644)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}
