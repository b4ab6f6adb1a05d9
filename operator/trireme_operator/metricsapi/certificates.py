"""The serving certificate: made by the servers themselves, kept in one Secret, renewed before it ends.

Each certificate is signed by an authority of its own, whose key is thrown away at once: nobody can sign another one.
A renewal takes two steps, so that no connection fails: the new authority is published first, beside the one in use,
and the certificate is used when everybody has had time to take that up. All servers read the same Secret; each writes
only what the version that it has read asks for, so of two that do it at once one fails and reads again.

    ca.crt            the authorities to be trusted, PEM
    tls.crt, tls.key  the certificate in use
    next.crt, next.key    the certificate that will be used next
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trireme_operator.rendering.api_service import CA_KEY

LIFETIME: Final = timedelta(days=90)
RENEW_BEFORE: Final = timedelta(days=30)
SETTLE: Final = timedelta(minutes=10)
"""From the day that an authority is published until what it signed is used."""
_SKEW: Final = timedelta(minutes=5)
"""Clocks of servers differ."""
_CERTIFICATE, _KEY, _NEXT_CERTIFICATE, _NEXT_KEY = "tls.crt", "tls.key", "next.crt", "next.key"

Data = Mapping[str, str]
"""The Secret's data, decoded."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What a server serves with: certificate and key, both PEM, and when it ends."""

    certificate: str
    key: str
    ends: datetime


@dataclass(frozen=True, slots=True)
class _Issued:
    authority: str
    certificate: str
    key: str


def serving(data: Data, *, host: str, now: datetime) -> Serving | None:
    """The certificate in use; None when there is none that is good for the host now."""
    found = _read(data.get(_CERTIFICATE, ""), data.get(_KEY, ""), data.get(CA_KEY, ""), host=host)
    if found is None or not found.not_valid_before_utc <= now < found.not_valid_after_utc:
        return None
    return Serving(data[_CERTIFICATE], data[_KEY], found.not_valid_after_utc)


def due(data: Data, *, host: str, now: datetime) -> dict[str, str | None] | None:
    """What is to be changed in the Secret now (None as a value removes it); None when nothing is."""
    current = serving(data, host=host, now=now)
    following = _read(data.get(_NEXT_CERTIFICATE, ""), data.get(_NEXT_KEY, ""), data.get(CA_KEY, ""), host=host)
    if current is None:
        if following is not None and following.not_valid_before_utc <= now < following.not_valid_after_utc:
            return _switch(data)  # its authority is published: earlier than wanted, but nobody serves anything better
        made = _issue(host, now)
        fresh = {CA_KEY: made.authority, _CERTIFICATE: made.certificate, _KEY: made.key}
        return {**fresh, _NEXT_CERTIFICATE: None, _NEXT_KEY: None}
    if following is not None and following.not_valid_after_utc > current.ends:
        return None if now < following.not_valid_before_utc + _SKEW + SETTLE else _switch(data)
    if now < current.ends - RENEW_BEFORE:
        return None
    made = _issue(host, now)
    signer = _signer(x509.load_pem_x509_certificate(current.certificate.encode()), data[CA_KEY])
    authorities = (_pem(signer) if signer is not None else "") + made.authority
    return {CA_KEY: authorities, _NEXT_CERTIFICATE: made.certificate, _NEXT_KEY: made.key}


def _switch(data: Data) -> dict[str, str | None]:
    """The next certificate is the one in use."""
    renewed = {_CERTIFICATE: data[_NEXT_CERTIFICATE], _KEY: data[_NEXT_KEY]}
    return {**renewed, _NEXT_CERTIFICATE: None, _NEXT_KEY: None}


def _issue(host: str, now: datetime) -> _Issued:
    begins, ends = now - _SKEW, now + LIFETIME
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _name(f"trireme-metrics-{now.astimezone(UTC):%Y%m%d%H%M%S}")
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _builder(issuer, issuer, authority_key.public_key(), begins, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        _builder(_name(host[:64]), issuer, key.public_key(), begins, ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _Issued(_pem(authority), _pem(certificate), private.decode())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _read(certificate: str, key: str, authorities: str, *, host: str) -> x509.Certificate | None:
    """The certificate, if the key is its own, an authority signed it, and it is for the host."""
    try:
        found = x509.load_pem_x509_certificate(certificate.encode())
        private = serialization.load_pem_private_key(key.encode(), password=None)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        fits = private.public_key() == found.public_key() and _signer(found, authorities) is not None
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return None
    return found if fits and host in names.get_values_for_type(x509.DNSName) else None


def _signer(certificate: x509.Certificate, authorities: str) -> x509.Certificate | None:
    """Which of the authorities signed it. Raises ValueError when they are no PEM."""
    for authority in x509.load_pem_x509_certificates(authorities.encode()):
        if authority.subject == certificate.issuer:
            return authority
    return None


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
