"""The certificate and key of a server that speaks https itself."""

import ssl
from pathlib import Path


class TlsError(RuntimeError):
    """The certificate or key cannot be used; the message names the file."""


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """What connections are encrypted with: TLS 1.2 or 1.3.

    Errors: TlsError naming the file that is missing, cannot be read, is not PEM, needs a passphrase, or is not the
    other's.
    """
    for name, path in (("TLS_CERT", cert), ("TLS_KEY", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise TlsError(f"ODESERVE_{name}: {path}: {error.strerror or error}") from error
    _readable_certificate(cert)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key, password=_no_passphrase)
    except _PassphraseError as error:
        raise TlsError(f"ODESERVE_TLS_KEY: {key}: expected a key without a passphrase") from error
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsError(f"ODESERVE_TLS_KEY: {key}: not the key of the certificate {cert}") from error
        raise TlsError(f"ODESERVE_TLS_KEY: {key}: expected a private key as PEM ({error.reason})") from error
    return context


def _readable_certificate(path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise TlsError(f"ODESERVE_TLS_CERT: {path}: expected certificates as PEM ({error.reason})") from error


class _PassphraseError(Exception):
    """The key is encrypted."""


def _no_passphrase() -> str:
    # OpenSSL would ask on the terminal.
    raise _PassphraseError
