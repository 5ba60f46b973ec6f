"""Real certificates for tests of TLS, made on the spot."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import trustme


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority with a folder for its files."""

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)

    @property
    def certificate(self) -> Path:
        """The authority's own certificate."""
        path = self.folder / "ca.pem"
        self.folder.mkdir(exist_ok=True)
        self.ca.cert_pem.write_to_path(path)
        return path

    def issue(self, name: str, *, not_after: datetime | None = None) -> tuple[Path, Path]:
        """Write a certificate for 127.0.0.1 and localhost, and its key; return both paths."""
        self.folder.mkdir(exist_ok=True)
        issued = self.ca.issue_cert("127.0.0.1", "localhost", not_after=not_after)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return certificate, key

    def server(self, *, clients: Authority | None = None) -> dict[str, Any]:
        """Configure a server with a certificate of this authority, which asks clients for one of another."""
        certificate, key = self.issue("server")
        config = {"certificate": str(certificate), "key": str(key)}
        return config | ({"client_ca": str(clients.certificate)} if clients else {})

    def client_context(self, identity: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """Return a client's context that trusts this authority and has a certificate of its own if given."""
        context = ssl.create_default_context(cafile=self.certificate)
        if identity is not None:
            context.load_cert_chain(*identity)
        return context

    def channel_credentials(self, identity: tuple[Path, Path] | None = None) -> grpc.ChannelCredentials:
        """Return the same for gRPC."""
        certificate, key = (path.read_bytes() for path in identity) if identity else (None, None)
        return grpc.ssl_channel_credentials(self.certificate.read_bytes(), key, certificate)


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
