"""TLS as a receiver's tls_config says it."""

import asyncio
import os
import ssl
import tempfile
from collections import OrderedDict
from pathlib import Path

from controlplane.channels.answers import Undeliverable
from schemas.manifests.alertmanager_http import TlsConfig

_MOST_CONTEXTS = 256
_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}


class TlsContexts:
    """Made once for each tls_config and state of its files: reading the CAs takes milliseconds."""

    def __init__(self) -> None:
        self._contexts: OrderedDict[tuple[TlsConfig, tuple[float, ...]], ssl.SSLContext] = OrderedDict()

    async def context(self, config: TlsConfig) -> ssl.SSLContext:
        """Undeliverable: a file that is not there, or no certificate in it."""
        try:
            files = config.ca_file or config.cert_file or config.key_file
            key = config, await asyncio.to_thread(_changed, config) if files else ()
            if key not in self._contexts:
                self._contexts[key] = await asyncio.to_thread(tls_context, config)
        except (OSError, ValueError) as error:
            raise Undeliverable(f"tls_config: {type(error).__name__}: {error}", retry=True) from error
        while len(self._contexts) > _MOST_CONTEXTS:
            self._contexts.popitem(last=False)
        return self._contexts[key]


def _changed(config: TlsConfig) -> tuple[float, ...]:
    files = (config.ca_file, config.cert_file, config.key_file)
    return tuple(os.stat(path).st_mtime for path in files if path)


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """OSError, ValueError: files or certificates that are none."""
    context = ssl.create_default_context(cafile=config.ca_file or None, cadata=config.ca or None)
    if config.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.min_version:
        context.minimum_version = _VERSIONS[config.min_version]
    if config.max_version:
        context.maximum_version = _VERSIONS[config.max_version]
    if config.cert_file or config.cert:
        _load_own(context, config)
    return context


def _load_own(context: ssl.SSLContext, config: TlsConfig) -> None:
    """OpenSSL reads a key from a file only: a key in the text is in one for that moment."""
    with tempfile.TemporaryDirectory() as folder:
        cert, key = config.cert_file, config.key_file
        if not cert:
            cert = _written(Path(folder, "cert.pem"), config.cert)
        if not key:
            key = _written(Path(folder, "key.pem"), config.key)
        context.load_cert_chain(cert, key)


def _written(path: Path, text: str) -> str:
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)
