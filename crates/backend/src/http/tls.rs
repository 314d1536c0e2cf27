//! TLS as the options want it: whom to trust, under which name, and who we are.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

use super::TlsOptions;
use crate::{Error, ErrorKind};

/// What rustls has to know. Without a need for TLS the authorities of the system are not looked for: a machine may have
/// none.
pub(super) fn config(options: &TlsOptions, is_needed: bool) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let authorities = options.ca_certificate.as_deref().map(authorities).transpose()?;
    let name = options.server_name.as_deref().filter(|name| !name.is_empty());
    let name = name
        .map(|name| {
            ServerName::try_from(name.to_owned())
                .map_err(|_| refuse(format!("{name:?} as the name of a server: it is none")))
        })
        .transpose()?;
    let verifier: Arc<dyn ServerCertVerifier> = if options.skip_verify {
        Arc::new(Fixed { takes_any: true, provider: Arc::clone(&provider) })
    } else {
        let (inner, pinned) = trust(authorities, is_needed, &provider)?;
        Arc::new(Named { inner, name, pinned })
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Internal, format!("set up TLS: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &options.client_certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let what = "the client certificate";
            let chain = certificates(certificate, what)?;
            // What is wrong with a key is not told: it may quote the key.
            let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes())
                .map_err(|_| refuse("the client key: it is no PEM of a private key"))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                TlsError::InconsistentKeys(_) => {
                    refuse(format!("{what}: the client key is that of another certificate"))
                }
                _ => refuse(format!("{what} and its key: they are of no kind that is known")),
            })?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

type Trust = (Arc<dyn ServerCertVerifier>, Vec<CertificateDer<'static>>);

/// Who is believed: the given authorities and nobody else, or those of the system.
fn trust(
    authorities: Option<(RootCertStore, Vec<CertificateDer<'static>>)>,
    is_needed: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Trust, Error> {
    let provider = Arc::clone(provider);
    if let Some((roots, pinned)) = authorities {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().map_err(|error| {
            Error::new(ErrorKind::Internal, format!("set up the CA certificate: {error}"))
        })?;
        return Ok((verifier, pinned));
    }
    if !is_needed {
        return Ok((Arc::new(Fixed { takes_any: false, provider }), Vec::new()));
    }
    let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(|error| {
        refuse(format!("the certificates of authorities on this machine: {error}"))
            .with_hint("install the system's package ca-certificates, or give a CA certificate")
    })?;
    Ok((Arc::new(verifier), Vec::new()))
}

fn authorities(pem: &str) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Error> {
    let what = "the CA certificate";
    let certificates = certificates(pem, what)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots
            .add(certificate.clone())
            .map_err(|_| refuse(format!("{what}: what its PEM holds is no certificate")))?;
    }
    Ok((roots, certificates))
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    // The error quotes lines, and somebody may have put a key here.
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err(refuse(format!("{what}: there is no PEM in it"))),
        Ok(found) => Ok(found),
        Err(_) => Err(refuse(format!("{what}: its PEM is damaged"))),
    }
}

fn refuse(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOptions, format!("cannot use {}", what.into()))
}

/// Looks for another name than that of the address.
#[derive(Debug)]
struct Named {
    inner: Arc<dyn ServerCertVerifier>,
    name: Option<ServerName<'static>>,
    /// The certificates that were given to be trusted.
    pinned: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let name = self.name.as_ref().unwrap_or(server_name);
        let verified =
            self.inner.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        match verified {
            // `openssl req -x509` makes certificates that are authorities, and people hand them to servers. webpki takes
            // no authority for a server; what was given to be trusted by itself is. Its time was looked at before that.
            Err(TlsError::InvalidCertificate(CertificateError::Other(_)))
                if self.pinned.iter().any(|pinned| pinned == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Takes any certificate, as long as the server has its key; or none.
#[derive(Debug)]
struct Fixed {
    takes_any: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Fixed {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if self.takes_any {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(TlsError::InvalidCertificate(CertificateError::UnknownIssuer))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
