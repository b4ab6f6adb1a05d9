"""A Kubernetes control plane made of plain processes.

With its defaults it is an API server and its etcd on loopback, ready in seconds, without nodes: what the
integration tests talk to. The local cluster uses the same class with every controller and the scheduler, in a
network namespace of its own.

    with ControlPlane(tmp_path) as plane:
        plane.kubectl("get", "namespaces")
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.cluster import flags
from e2e.cluster.elsewhere import Connection, enter
from e2e.cluster.flags import Endpoint
from e2e.cluster.pki import Authority, KeyPair, signing_key, write_kubeconfig
from e2e.cluster.processes import Daemon
from e2e.host import run
from e2e.toolchain import kube_link_dir

GARBAGE_COLLECTION = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
)
"""Controllers for tests that delete owners and namespaces, or create pods (which need a ServiceAccount)."""

_DAEMONS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""In the order in which they start."""

_SERVER_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


@dataclass(frozen=True)
class Ports:
    """One TCP port for each server of the control plane."""

    api_server: int = 6443
    etcd_clients: int = 2379
    etcd_peers: int = 2380
    controller_manager: int = 10257
    scheduler: int = 10259

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody on loopback uses at this moment."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(5)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            return cls(*(int(each.getsockname()[1]) for each in sockets))


class ControlPlane:
    """Etcd and API server, and on demand controllers and the scheduler, kept in one directory.

    Args:
        directory: Certificates, data, logs and pid files; on the same file system from start to stop.
        name: The mark of the processes and the name of the context in the kubeconfig.
        address: Where all servers listen; "127.0.0.1" is a plane without nodes.
        ports: Free ones by default.
        service_range: The cluster IPs; its first address becomes the API server's.
        namespace: The network namespace in which ``address`` is; by default this process's own.
        controllers: Names for the controller manager, ``("*",)`` for all; it is not started without any.
        scheduler: Whether to start the scheduler.
        durable: Whether etcd waits for the disk, as in production; else it is faster, and its data never precious.
        audit_policy: A file that says which requests the API server logs to `audit_log`; without it, none.

    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "trireme-test",
        address: str = "127.0.0.1",
        ports: Ports | None = None,
        service_range: str = "10.92.0.0/16",
        namespace: Path | None = None,
        controllers: Sequence[str] = (),
        scheduler: bool = False,
        durable: bool = False,
        audit_policy: Path | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self.name = name
        self.address = address
        self.ports = ports or Ports.free()
        self.service_range = service_range
        self._namespace = namespace
        self._controllers = tuple(controllers)
        self._scheduler = scheduler
        self._durable = durable
        self._audit_policy = audit_policy

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pki(self) -> Path:
        return self.directory / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig (group system:masters)."""
        return self.directory / "admin.kubeconfig"

    @property
    def audit_log(self) -> Path:
        """Where the API server logs the requests that the audit policy names, one JSON event a line."""
        return self.directory / "audit.jsonl"

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return self._endpoint(self.ports.api_server).url

    @property
    def authority(self) -> Authority:
        """Signs servers and clients of the cluster; made when it is missing."""
        return Authority(self.pki, "cluster-ca")

    def start(self, *, seconds: float = 240.0) -> None:
        """Start what does not run and return when the API server is ready: in seconds, or minutes on busy processors.

        Raises:
            ProcessError: a process ended or did not become ready; shows the end of its log.

        """
        certificates = self._certificates()
        self.client("admin", common_name="trireme-admin", organization="system:masters")
        store, server = self.etcd(certificates), self.api_server(certificates)
        store.start()
        server.start()
        server.wait(self.ready, seconds=seconds)
        # Not earlier: they give up when the API server cannot yet tell them how to authenticate their callers.
        for daemon in self._after_ready(certificates):
            daemon.start()

    def stop(self, *, grace_seconds: float = 10.0) -> None:
        """End all processes, the API server before its store; at once, when nobody needs the data any more."""
        for name in reversed(_DAEMONS):
            self.daemon(name, ()).stop(grace_seconds=grace_seconds)

    def alive(self) -> dict[str, bool]:
        """Which of the processes run, by name."""
        wanted = [
            *_DAEMONS[:2],
            *(_DAEMONS[2:3] if self._controllers else ()),
            *(_DAEMONS[3:] if self._scheduler else ()),
        ]
        return {name: self.daemon(name, ()).pid() is not None for name in wanted}

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            return self.get("/readyz") == b"ok"
        except (OSError, http.client.HTTPException):
            return False

    def get(self, path: str) -> bytes:
        """What the API server answers the administrator.

        Raises:
            OSError: nobody answers.
            http.client.HTTPException: it refuses, or ends in the middle of an answer.

        """
        authority = self.authority
        pair = authority.issue("admin", common_name="trireme-admin", organization="system:masters")
        context = ssl.create_default_context(cafile=str(authority.pair.certificate))
        context.load_cert_chain(pair.certificate, pair.key)
        server = (self.address, self.ports.api_server)
        with closing(Connection(*server, context=context, timeout=10, namespace=self._namespace)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            content = response.read()
        if response.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"GET {path}: {response.status} {content.decode(errors='replace')}")
        return content

    def kubectl(self, *words: str, text: str | None = None) -> str:
        """Run kubectl as the administrator; ``text`` is its standard input.

        Raises:
            CommandError: kubectl failed.

        """
        kubectl = kube_link_dir() / "kubectl"
        own = [f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.directory / 'kubectl-cache'}"]
        return run([*self._enter(), kubectl, *own, *words], input=text)

    def client(self, name: str, *, common_name: str, organization: str = "", server: str | None = None) -> Path:
        """The kubeconfig ``<name>.kubeconfig`` of a user (and group), made when it is missing."""
        path = self.directory / f"{name}.kubeconfig"
        authority = self.authority
        pair = authority.issue(name, common_name=common_name, organization=organization)
        return write_kubeconfig(
            path,
            context=self.name,
            server=server or self.server,
            authority=authority.pair.certificate,
            client=pair,
        )

    def daemon(self, name: str, argv: Sequence[str]) -> Daemon:
        """A process of this control plane."""
        # A plane with nodes has pods that compete with it.
        return Daemon(name, argv, self.directory, self.name, self._enter(), favoured=self._namespace is not None)

    def etcd(self, certificates: flags.Certificates | None = None) -> Daemon:
        """The store; a test may stop and start it alone."""
        argv = flags.etcd(
            kube_link_dir() / "etcd",
            data=self.directory / "etcd",
            clients=self._endpoint(self.ports.etcd_clients),
            peers=self._endpoint(self.ports.etcd_peers),
            certificates=certificates or self._certificates(),
            durable=self._durable,
        )
        return self.daemon("etcd", argv)

    def api_server(self, certificates: flags.Certificates | None = None) -> Daemon:
        """The API server; a test may stop and start it alone."""
        argv = flags.api_server(
            kube_link_dir() / "kube-apiserver",
            listen=self._endpoint(self.ports.api_server),
            etcd_clients=self._endpoint(self.ports.etcd_clients),
            service_range=self.service_range,
            certificates=certificates or self._certificates(),
            publish=not self.address.startswith("127."),
            audit=(self._audit_policy, self.audit_log) if self._audit_policy else None,
        )
        # More than of the others is too much: with 400 it takes two gigabytes.
        return replace(self.daemon("kube-apiserver", argv), environment={"GOGC": "300"})

    def _after_ready(self, certificates: flags.Certificates) -> list[Daemon]:
        daemons = []
        if self._controllers:
            name = "kube-controller-manager"
            argv = flags.controller_manager(
                kube_link_dir() / name,
                listen=self._endpoint(self.ports.controller_manager),
                kubeconfig=self.client(name, common_name=f"system:{name}"),
                controllers=self._controllers,
                certificates=certificates,
            )
            daemons.append(self.daemon(name, argv))
        if self._scheduler:
            name = "kube-scheduler"
            argv = flags.scheduler(
                kube_link_dir() / name,
                listen=self._endpoint(self.ports.scheduler),
                kubeconfig=self.client(name, common_name=f"system:{name}"),
            )
            daemons.append(self.daemon(name, argv))
        return daemons

    def _enter(self) -> tuple[str, ...]:
        return enter(self._namespace) if self._namespace else ()

    def _endpoint(self, port: int) -> Endpoint:
        return Endpoint(self.address, port)

    def _certificates(self) -> flags.Certificates:
        authority = self.authority
        front_proxy = Authority(self.pki, "front-proxy-ca")
        network, last = self.service_range.split("/")[0].rsplit(".", 1)
        server_addresses = sorted({self.address, "127.0.0.1", f"{network}.{int(last) + 1}"})

        def issue(name: str, common_name: str, organization: str = "") -> KeyPair:
            return authority.issue(name, common_name=common_name, organization=organization)

        return flags.Certificates(
            authority=authority.pair,
            front_proxy_authority=front_proxy.pair.certificate,
            etcd=authority.issue("etcd", common_name="etcd", addresses=[self.address]),
            api_server=authority.issue(
                "kube-apiserver", common_name="kube-apiserver", addresses=server_addresses, names=_SERVER_NAMES
            ),
            kubelet_client=issue("kube-apiserver-kubelet-client", "kube-apiserver", "system:masters"),
            front_proxy_client=front_proxy.issue("front-proxy-client", common_name="front-proxy-client"),
            service_accounts=signing_key(self.pki / "service-accounts.key"),
        )
