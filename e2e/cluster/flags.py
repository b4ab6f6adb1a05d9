"""Command lines of the control plane: etcd, API server, controller manager, scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.pki import KeyPair

ISSUER = "https://kubernetes.default.svc.cluster.local"

_REQUEST_HEADERS = (
    "--requestheader-username-headers=X-Remote-User",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
)


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self}"


@dataclass(frozen=True)
class Certificates:
    """The files the control plane is started with."""

    authority: KeyPair
    front_proxy_authority: Path
    """Another authority: the API server refuses one that clients could also be signed by."""
    etcd: KeyPair
    api_server: KeyPair
    kubelet_client: KeyPair
    front_proxy_client: KeyPair
    service_accounts: Path


def etcd(
    program: Path, *, data: Path, clients: Endpoint, peers: Endpoint, certificates: Certificates, durable: bool = False
) -> list[str]:
    """A single member that takes only clients with a certificate; without fsync unless ``durable``."""
    pair, authority = certificates.etcd, certificates.authority.certificate
    return [
        str(program),
        "--name=etcd",
        f"--data-dir={data}",
        *(() if durable else ("--unsafe-no-fsync",)),
        f"--listen-client-urls={clients.url}",
        f"--advertise-client-urls={clients.url}",
        f"--cert-file={pair.certificate}",
        f"--key-file={pair.key}",
        f"--trusted-ca-file={authority}",
        "--client-cert-auth",
        f"--listen-peer-urls={peers.url}",
        f"--initial-advertise-peer-urls={peers.url}",
        f"--initial-cluster=etcd={peers.url}",
        f"--peer-cert-file={pair.certificate}",
        f"--peer-key-file={pair.key}",
        f"--peer-trusted-ca-file={authority}",
        "--peer-client-cert-auth",
        "--log-level=warn",
    ]


def api_server(
    program: Path,
    *,
    listen: Endpoint,
    etcd_clients: Endpoint,
    service_range: str,
    certificates: Certificates,
    publish: bool,
    audit: tuple[Path, Path] | None = None,
) -> list[str]:
    """``publish``: whether the Service ``kubernetes`` leads to the address, which must then not be loopback.

    ``audit``: the policy of what is logged, and the file that it is logged to, one JSON event a line.
    """
    pki = certificates
    return [
        str(program),
        f"--bind-address={listen.address}",
        f"--advertise-address={listen.address}",
        f"--secure-port={listen.port}",
        f"--endpoint-reconciler-type={'lease' if publish else 'none'}",
        f"--etcd-servers={etcd_clients.url}",
        f"--etcd-cafile={pki.authority.certificate}",
        f"--etcd-certfile={pki.etcd.certificate}",
        f"--etcd-keyfile={pki.etcd.key}",
        f"--tls-cert-file={pki.api_server.certificate}",
        f"--tls-private-key-file={pki.api_server.key}",
        f"--client-ca-file={pki.authority.certificate}",
        f"--kubelet-client-certificate={pki.kubelet_client.certificate}",
        f"--kubelet-client-key={pki.kubelet_client.key}",
        f"--kubelet-certificate-authority={pki.authority.certificate}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={pki.service_accounts}",
        f"--service-account-signing-key-file={pki.service_accounts}",
        f"--service-cluster-ip-range={service_range}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        f"--requestheader-client-ca-file={pki.front_proxy_authority}",
        "--requestheader-allowed-names=front-proxy-client",
        *_REQUEST_HEADERS,
        f"--proxy-client-cert-file={pki.front_proxy_client.certificate}",
        f"--proxy-client-key-file={pki.front_proxy_client.key}",
        # Aggregated APIs and webhooks are reached at their pods: the API server's host needs no Service routing.
        "--enable-aggregator-routing",
        *((f"--audit-policy-file={audit[0]}", f"--audit-log-path={audit[1]}") if audit else ()),
    ]


def controller_manager(
    program: Path, *, listen: Endpoint, kubeconfig: Path, controllers: Sequence[str], certificates: Certificates
) -> list[str]:
    """Without leader election: there is one, and a busy machine must not make it give up."""
    authority = certificates.authority
    return [
        str(program),
        *_client(listen, kubeconfig),
        f"--controllers={','.join(controllers)}",
        f"--root-ca-file={authority.certificate}",
        f"--cluster-signing-cert-file={authority.certificate}",
        f"--cluster-signing-key-file={authority.key}",
        f"--service-account-private-key-file={certificates.service_accounts}",
        "--use-service-account-credentials",
    ]


def scheduler(program: Path, *, listen: Endpoint, kubeconfig: Path) -> list[str]:
    """Without leader election, as the controller manager."""
    return [str(program), *_client(listen, kubeconfig)]


def _client(listen: Endpoint, kubeconfig: Path) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={listen.address}",
        f"--secure-port={listen.port}",
        "--leader-elect=false",
    ]
