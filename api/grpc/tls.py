"""Mutual TLS of a gRPC listener: clients show a certificate of one authority. Protocol 10-api, section 1.4."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from api.edge.errors import DataError, EnvironmentFault


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files in PEM form, and the options that name them."""

    ca_cert: Path
    """The authority of the clients' certificates; no other one counts."""
    cert: Path
    key: Path
    """Not encrypted."""
    options: tuple[str, str, str] = ("grpc-tls-ca-cert", "grpc-tls-cert", "grpc-tls-key")

    def credentials(self) -> Any:
        """As the library takes them. Raises DataError for what is no certificate or key, EnvironmentFault for a file
        that cannot be read.
        """
        names = self.options
        ca_cert, cert, key = map(_content, names, (self.ca_cert, self.cert, self.key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_verify_locations(cadata=ca_cert.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError, ValueError):
            raise DataError(f"--{names[0]} {self.ca_cert} holds no certificate in PEM form.") from None
        try:
            context.load_cert_chain(self.cert, self.key, password="")
        except ssl.SSLError as error:
            raise DataError(
                f"--{names[1]} {self.cert} and --{names[2]} {self.key} are no certificate and its unencrypted key in "
                f"PEM form: {error.reason or error}."
            ) from None
        return grpc.ssl_server_credentials([(key, cert)], root_certificates=ca_cert, require_client_auth=True)


def _content(option: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentFault(f"--{option} {path} cannot be read: {error.strerror}.") from None
