"""The certificate that a server shows, and how long it is valid: of NATS after its greeting, else at once."""

import socket
import ssl
import time
from urllib.parse import urlsplit

from controlplane.doctor.nats import CertificateFacts

CONNECT_SECONDS = 2.0
DAY_SECONDS = 86_400.0
_PORTS = {"tls": 4222, "wss": 443, "https": 443}


def look(url: str) -> CertificateFacts | None:
    """Blocks. None where no TLS is meant, or nobody answers: that is said elsewhere."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
    try:
        left_days, _ = _shown(host, port, parts.scheme, ssl.create_default_context())
        return CertificateFacts(url, left_days)
    except ssl.SSLCertVerificationError as error:
        return _untrusted(url, host, port, parts.scheme, error.verify_message or str(error))
    except OSError:
        return None


def _untrusted(url: str, host: str, port: int, scheme: str, why: str) -> CertificateFacts | None:
    """What is not trusted has a date all the same: it is read by trusting that one certificate alone."""
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    alone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    alone.check_hostname = False
    alone.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        _, raw = _shown(host, port, scheme, blind)
        alone.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(raw))
        left_days, _ = _shown(host, port, scheme, alone)
    except ssl.SSLCertVerificationError:
        # Trusted by itself, only its dates are left to be wrong.
        return CertificateFacts(url, 0.0)
    except OSError:
        return None
    return CertificateFacts(url, left_days, why)


def _shown(host: str, port: int, scheme: str, context: ssl.SSLContext) -> tuple[float, bytes]:
    """Days that are left (0 where it was not verified), and the certificate as DER."""
    with socket.create_connection((host, port), timeout=CONNECT_SECONDS) as plain:
        if scheme == "tls":
            _read_greeting(plain)
        with context.wrap_socket(plain, server_hostname=host) as secured:
            told, raw = secured.getpeercert(), secured.getpeercert(binary_form=True)
    ends = str(told.get("notAfter", "")) if told else ""
    left = (ssl.cert_time_to_seconds(ends) - time.time()) / DAY_SECONDS if ends else 0.0
    return left, raw or b""


def _read_greeting(plain: socket.socket) -> None:
    """NATS says INFO in the clear, and only then speaks TLS. Byte by byte: nothing beyond it may be taken."""
    for _ in range(64 * 1024):
        if plain.recv(1) in (b"\n", b""):
            return
