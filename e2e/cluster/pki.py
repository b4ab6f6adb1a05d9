"""Certificates of a cluster: authorities, and what they sign, made with openssl.

Elliptic curve keys (P-256) because a cluster needs some fifteen of them and they cost milliseconds. A
certificate that exists is kept, so that a cluster which starts again keeps its identity.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import files
from e2e.host import run

_VALID_DAYS = 3650

# openssl's own default file adds extensions of a certificate authority to everything that `req -x509` makes.
_OPENSSL_CONFIG = "[req]\ndistinguished_name = name\nprompt = no\n[name]\n"


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, both PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority that keeps everything it signs in one directory.

    ``directory/<name>.crt`` and ``.key`` are its own files; ``issue`` puts the others beside them.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self.pair = KeyPair(directory / f"{name}.crt", directory / f"{name}.key")
        extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"]
        _make(self.pair, subject=f"/CN={name}", extensions=extensions, authority=None)

    def issue(
        self,
        name: str,
        *,
        common_name: str,
        organization: str = "",
        addresses: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> KeyPair:
        """The key pair ``name``, signed by this authority; good for a client and for a server.

        ``common_name`` and ``organization`` are what Kubernetes reads as user and group; ``addresses`` and
        ``names`` are the IP addresses and DNS names a server answers under.
        """
        pair = KeyPair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        subject = (f"/O={organization}" if organization else "") + f"/CN={common_name}"
        extensions = [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
            "extendedKeyUsage=serverAuth,clientAuth",
        ]
        alternatives = [f"IP:{address}" for address in addresses] + [f"DNS:{name}" for name in names]
        if alternatives:
            extensions.append(f"subjectAltName={','.join(alternatives)}")
        _make(pair, subject=subject, extensions=extensions, authority=self.pair)
        return pair


def _make(pair: KeyPair, *, subject: str, extensions: Sequence[str], authority: KeyPair | None) -> None:
    if pair.certificate.exists() and pair.key.exists():
        return
    pair.certificate.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    config = pair.certificate.with_suffix(".cnf")
    config.write_text(_OPENSSL_CONFIG)
    argv: list[str | Path] = ["openssl", "req", "-x509", "-config", config, "-days", str(_VALID_DAYS)]
    argv += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", pair.key]
    argv += ["-out", pair.certificate, "-subj", subject]
    for extension in extensions:
        argv += ["-addext", extension]
    if authority is not None:
        argv += ["-CA", authority.certificate, "-CAkey", authority.key]
    run(argv)
    pair.key.chmod(0o600)
    config.unlink()


def signing_key(path: Path) -> Path:
    """The private key ``path`` with which service account tokens are signed (made when it is missing)."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path])
        path.chmod(0o600)
    return path


def write_kubeconfig(path: Path, *, context: str, server: str, authority: Path, client: KeyPair) -> Path:
    """Write a kubeconfig with one cluster, one user and one context of the name ``context``.

    JSON, which is YAML, with the certificates inside: the file can be copied anywhere.
    """

    def data(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    user = {"client-certificate-data": data(client.certificate), "client-key-data": data(client.key)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": {"server": server, "certificate-authority-data": data(authority)}}],
        "users": [{"name": context, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    return files.write(path, json.dumps(content, indent=1), mode=0o600)
