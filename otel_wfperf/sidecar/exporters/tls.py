"""Certificates for the connections to a back end."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc

from otel_wfperf.config import ExporterConfig
from otel_wfperf.errors import ConfigError


def stamp(config: ExporterConfig) -> tuple[object, ...]:
    """Tell one content of the files from another; a secret that is mounted changes by a symbolic link."""
    return tuple(_stamp(path) for _, path in _files(config))


def ssl_context(config: ExporterConfig) -> ssl.SSLContext:
    """Load the files; raise ConfigError, which names the key, when they cannot be used."""
    for name, path in _files(config):
        _read(config, name, path)
    tls = config.tls
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{_key(config)}.ca: {str(tls.ca)!r}: holds no certificate; name a PEM file") from error
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate is not None:
        try:
            # Without a password, OpenSSL would ask for it on the terminal.
            context.load_cert_chain(tls.certificate, tls.key, password="")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{_key(config)}: {str(tls.certificate)!r} and {str(tls.key)!r}: are no certificate with its key"
                "; both have to be PEM and belong together, the key not encrypted"
            ) from error
    return context


def channel_credentials(config: ExporterConfig) -> grpc.ChannelCredentials:
    """Load the files for gRPC; raise ConfigError, which names the key, when they cannot be used."""
    # gRPC itself only says at the first connection that something is wrong.
    ssl_context(config)
    content = {name: _read(config, name, path) for name, path in _files(config)}
    return grpc.ssl_channel_credentials(
        root_certificates=content.get("ca"),
        private_key=content.get("key"),
        certificate_chain=content.get("certificate"),
    )


def _files(config: ExporterConfig) -> Iterator[tuple[str, Path]]:
    for name in ("ca", "certificate", "key"):
        path = getattr(config.tls, name)
        if path is not None:
            yield name, path


def _read(config: ExporterConfig, name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{_key(config)}.{name}: {str(path)!r}: cannot be read ({error.strerror}); name a PEM file"
        raise ConfigError(message) from error


def _key(config: ExporterConfig) -> str:
    return f"sidecar.exporters ({config.name}): tls"


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
