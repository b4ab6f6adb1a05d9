"""CoreDNS for the local cluster, as Kubernetes objects."""

from __future__ import annotations

import json
from typing import Any

from e2e.cluster.network import DNS_ADDRESS

COREDNS_IMAGE = "trireme.dev/e2e/coredns:dev"
REPLICAS = 3

_NAME = "coredns"
_NAMESPACE = "kube-system"
_LABELS = {"k8s-app": "kube-dns"}
_PORT = 1053

# Names of the cluster are answered from memory, and a name that appears is known at once: there is no cache
# that remembers its absence. Everything else does not exist: without the second block such names fail
# (SERVFAIL), and glibc then gives up before it has tried its search list.
COREFILE = f"""\
cluster.local:{_PORT} in-addr.arpa:{_PORT} {{
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa {{
        pods insecure
        ttl 1
    }}
}}
.:{_PORT} {{
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def manifests() -> str:
    """Everything CoreDNS needs, as one List for ``kubectl apply``."""
    items = [*_access(), _config(), _deployment(), _service()]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _meta(**more: object) -> dict[str, Any]:
    return {"name": _NAME, "namespace": _NAMESPACE, "labels": _LABELS, **more}


def _access() -> list[dict[str, Any]]:
    group = "rbac.authorization.k8s.io"
    name = f"system:{_NAME}"
    rules = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    subject = {"kind": "ServiceAccount", "name": _NAME, "namespace": _NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta()},
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [subject],
        },
    ]


def _config() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta(), "data": {"Corefile": COREFILE}}


def _deployment() -> dict[str, Any]:
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": _LABELS},
    }
    spec = {
        "serviceAccountName": _NAME,
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "topologySpreadConstraints": [spread],
        "containers": [_container()],
        "volumes": [{"name": "config", "configMap": {"name": _NAME}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(),
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": _LABELS},
            "template": {"metadata": {"labels": _LABELS}, "spec": spec},
        },
    }


def _container() -> dict[str, Any]:
    return {
        "name": _NAME,
        "image": COREDNS_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [
            {"name": "dns", "containerPort": _PORT, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": _PORT, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "failureThreshold": 6},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }


def _service() -> dict[str, Any]:
    ports = [
        {"name": "dns", "port": 53, "targetPort": _PORT, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "targetPort": _PORT, "protocol": "TCP"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(name="kube-dns"),
        "spec": {"clusterIP": DNS_ADDRESS, "selector": _LABELS, "ports": ports},
    }
