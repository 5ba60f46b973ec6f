"""TLS for the ports, with certificates that are read again when their files change."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

import grpc

from otel_wfperf.config import TlsConfig
from otel_wfperf.errors import ConfigError

_LOGGER = logging.getLogger(__name__)


class Certificates:
    """The certificate of one or two ports, and the authorities of their clients.

    New connections get what is in the files now; while that cannot be used, what could be used last.
    """

    def __init__(self, config: TlsConfig, *, key: str) -> None:
        """Load the files; raise ConfigError, which names the key, when they cannot be used.

        Args:
            config: The files.
            key: The setting that a message names, such as ``sidecar.security.otlp.tls``.
        """
        self._config = config
        self._key = key
        self._stamp = self._stamp_now()
        self._current = self._load()
        self._sent_to_grpc = self._stamp

    def context(self) -> ssl.SSLContext:
        """Return a context for asyncio, whose connections use the newest files."""
        context = self._load()
        # Called for each connection, also for those of clients that name no server (checked with OpenSSL 3.0).
        context.sni_callback = self._use_newest
        return context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Return credentials for a gRPC server, whose connections use the newest files.

        gRPC itself speaks TLS 1.2 and newer only (checked with grpcio 1.85).
        """
        mutual = self._config.client_ca is not None
        return grpc.dynamic_ssl_server_credentials(self._grpc_configuration(), self._newest_for_grpc, mutual)

    def _use_newest(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        self._refresh()
        connection.context = self._current

    def _newest_for_grpc(self) -> Any:
        self._refresh()
        if self._sent_to_grpc == self._stamp:
            return None
        self._sent_to_grpc = self._stamp
        return self._grpc_configuration()

    def _grpc_configuration(self) -> Any:
        config = self._config
        ca = config.client_ca.read_bytes() if config.client_ca is not None else None
        pair = (config.key.read_bytes(), config.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], ca)

    def _refresh(self) -> None:
        """Load the files again when they have changed; say so, once a change, when they cannot be used."""
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._current = self._load()
        except ConfigError as error:
            _LOGGER.error("%s; the certificate from before stays in use", error)  # noqa: TRY400 - the file is at fault
        else:
            _LOGGER.info("%s: the certificate was read again", self._key)

    def _stamp_now(self) -> tuple[object, ...]:
        return tuple(_stamp(path) for path in self._files().values())

    def _files(self) -> dict[str, Path]:
        config = self._config
        files = {"certificate": config.certificate, "key": config.key}
        return files | ({"client_ca": config.client_ca} if config.client_ca is not None else {})

    def _load(self) -> ssl.SSLContext:
        for name, path in self._files().items():
            try:
                path.read_bytes()
            except OSError as error:
                message = f"{self._key}.{name}: {str(path)!r}: cannot be read ({error.strerror}); name a PEM file"
                raise ConfigError(message) from error
        config = self._config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # Without a password, OpenSSL would ask for it on the terminal.
            context.load_cert_chain(config.certificate, config.key, password="")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self._key}: {str(config.certificate)!r} and {str(config.key)!r}: are no certificate with its key "
                f"({error}); both have to be PEM and belong together, the key not encrypted"
            ) from error
        self._ask_clients(context)
        return context

    def _ask_clients(self, context: ssl.SSLContext) -> None:
        """Let only clients in whose certificate is from one of the authorities, if there are any."""
        client_ca = self._config.client_ca
        if client_ca is None:
            return
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(client_ca)
        except OSError as error:
            message = f"{self._key}.client_ca: {str(client_ca)!r}: holds no certificate ({error}); name a PEM file"
            raise ConfigError(message) from error


def _stamp(path: Path) -> object:
    """Tell one content of a file from another; a secret that is mounted changes by a symbolic link."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
