"""Resources that somebody writes who means harm: what they ask for, and what must not come of it."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.unit.controller_samples import resource

Document = dict[str, Any]

TEXTS = (
    "; rm -rf /",
    "$(id)",
    "`id`",
    "$(HF_TOKEN)",
    "$$(HF_TOKEN)",
    "$HOME ${HOME}",
    "a$",
    "| cat /etc/passwd",
    "&& reboot &",
    "a\nb: c",
    "a\r\nX-Header: 1",
    "'; DROP TABLE x; --",
    '"}],"hostNetwork":true,"x":[{"y":"',
    "\\x41\\",
    "* ? [a-z] ~root",
    ">/tmp/x 2>&1 </etc/shadow",
    "{{ .Values.secret }} {% raw %}",
    "%s%n%x",
    "../../../../etc/passwd",
    "/proc/self/environ",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
    "\x1b[2J\x07",
    "\u202eevil",
    "--config=/etc/x.yaml",
    "-c",
    "x" * 10_000,
    "$(" * 5_000,
)

_GATEWAY = {"parentRefs": [{"name": "edge"}]}


def _fields(text: str) -> Iterator[tuple[str, Document]]:
    """Every place of a spec that takes text."""
    yield "source", {"model": {"source": text}}
    for scheme in ("hf://org/", "pvc://claim/", "s3://bucket/", "gs://bucket/", "oci://registry/", "/models/"):
        yield f"source {scheme}", {"model": {"source": f"{scheme}{text}"}}
    model = {"source": "hf://org/name"}
    yield "servedName", {"model": model | {"servedName": text}}
    for field in ("name", "secret", "key"):
        good = {"name": "HF_TOKEN", "secret": "hub", "key": "token"}
        yield f"credentials {field}", {"model": model | {"credentials": [good | {field: text}]}}
    yield "cache", {"model": model | {"cache": {"persistentVolumeClaim": text}}}
    store = {"source": "s3://bucket/name"}
    yield "endpoint", {"model": store | {"s3": {"endpoint": text}}}
    yield "endpoint https", {"model": store | {"s3": {"endpoint": f"https://{text}"}}}
    yield "region", {"model": store | {"s3": {"region": text}}}
    yield "image", {"engine": {"image": text}}
    yield "extraArgs", {"engine": {"extraArgs": [text]}}
    yield "extraArgs value", {"engine": {"extraArgs": ["--chat-template", text]}}
    yield "extraArgs flag", {"engine": {"extraArgs": [f"--chat-template={text}"]}}
    yield "accelerator", {"accelerator": {"resource": text}}
    for field in ("interface", "rdmaResource"):
        yield field, {"network": {field: text}}
    yield "rdmaDevices", {"network": {"rdmaDevices": [text]}}
    for field in ("configMap", "key"):
        yield f"topology {field}", {"network": {"topology": {"configMap": "x"} | {field: text}}}
    yield "zone", {"zones": [{"name": text}]}
    yield "annotation", {"service": {"annotations": [{"name": "example.com/x", "value": text}]}}
    yield "annotation name", {"service": {"annotations": [{"name": text, "value": "x"}]}}
    yield "gateway", {"gateway": {"parentRefs": [{"name": text}]}}
    yield "gateway namespace", {"gateway": {"parentRefs": [{"name": "edge", "namespace": text}]}}
    yield "hostname", {"gateway": _GATEWAY | {"hostnames": [text]}}
    yield "path", {"gateway": _GATEWAY | {"paths": [f"/{text}"]}}
    yield "pod annotation", {"podTemplate": {"metadata": {"annotations": {"example.com/x": text}}}}
    yield "pod environment", _engine({"env": [{"name": "X", "value": text}]})


def _pod(spec: Document) -> Document:
    return {"podTemplate": {"spec": spec}}


def _engine(container: Document) -> Document:
    return _pod({"containers": [{"name": "engine"} | container]})


def _other(container: Document, kind: str = "containers") -> Document:
    return _pod({kind: [{"name": "other", "image": "busybox"} | container]})


_HOST_PATHS = (
    "/",
    "/etc",
    "/proc",
    "/var/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/var/lib/kubelet",
    "/dev",
)
_CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "NET_RAW", "ALL", "CAP_SYS_ADMIN", "CHOWN")
_CONTEXTS: tuple[Document, ...] = (
    {"privileged": True},
    {"allowPrivilegeEscalation": True},
    {"runAsUser": 0},
    {"runAsNonRoot": False},
    {"procMount": "Unmasked"},
    {"seccompProfile": {"type": "Unconfined"}},
    {"seLinuxOptions": {"user": "system_u", "role": "system_r"}},
    {"appArmorProfile": {"type": "Unconfined"}},
    {"windowsOptions": {"hostProcess": True}},
    *({"capabilities": {"add": [name]}} for name in _CAPABILITIES),
    {"capabilities": {"drop": []}},
)
_VOLUMES: tuple[Document, ...] = (
    *({"hostPath": {"path": path}} for path in _HOST_PATHS),
    {"nfs": {"server": "10.0.0.1", "path": "/"}},
    {"iscsi": {"targetPortal": "10.0.0.1", "iqn": "x", "lun": 0}},
    {"flexVolume": {"driver": "x/y"}},
    {"gitRepo": {"repository": "https://example.com/x"}},
    {"local": {"path": "/"}},
    {"azureFile": {"secretName": "x", "shareName": "y"}},
)
_POD_SPECS: tuple[Document, ...] = (
    {"hostNetwork": True},
    {"hostPID": True},
    {"hostIPC": True},
    {"hostUsers": True},
    {"shareProcessNamespace": True},
    {"serviceAccountName": "default"},
    {"serviceAccountName": "cluster-admin"},
    {"serviceAccount": "default"},
    {"automountServiceAccountToken": True},
    {"nodeName": "control-plane"},
    {"ephemeralContainers": [{"name": "x", "image": "y"}]},
    {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
    {"restartPolicy": "Never"},
    {"activeDeadlineSeconds": 1},
    {"terminationGracePeriodSeconds": 0},
    {"overhead": {"cpu": "1"}},
    {"containers": "x"},
    {"containers": [None]},
    {"containers": [{"name": ["engine"]}]},
    {"volumes": {"a": 1}},
)
_ENGINE: tuple[Document, ...] = (
    {"image": "evil"},
    {"command": ["sh", "-c", "id"]},
    {"args": ["id"]},
    {"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "id"]}}}},
    {"livenessProbe": {"exec": {"command": ["id"]}}},
    {"workingDir": "/proc"},
    {"terminationMessagePath": "/etc/passwd"},
    {"volumeDevices": [{"name": "x", "devicePath": "/dev/sda"}]},
    {"volumeMounts": [{"name": "trireme-launcher", "mountPath": "/x"}]},
    {"volumeMounts": [{"name": "x", "mountPath": "/trireme"}]},
    {"ports": [{"containerPort": 8000, "hostPort": 80}]},
    {"env": [{"name": "TRIREME_CONTRACT", "value": "9"}]},
    {"env": [{"name": "LWS_LEADER_ADDRESS", "value": "evil"}]},
    {"env": [{"name": "HOME", "value": "/root"}]},
)
_METADATA: tuple[Document, ...] = (
    {"namespace": "kube-system"},
    {"name": "x"},
    {"finalizers": ["example.com/x"]},
    {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y", "controller": True}]},
    {"labels": {"trireme.dev/cluster": "another"}},
    {"labels": {"trireme.dev/rotation": "in"}},
    {"labels": {"leaderworkerset.sigs.k8s.io/name": "another"}},
    {"labels": {"app.kubernetes.io/managed-by": "another"}},
    {"annotations": {"container.apparmor.security.beta.kubernetes.io/engine": "unconfined"}},
    {"annotations": {"trireme.dev/revision": "another"}},
)
_OWNED_FLAGS = (
    ["--port=1"],
    ["--po", "1"],
    ["--tensor_parallel_size=64"],
    ["-tp", "64"],
    ["--master-addr=10.0.0.1"],
    ["--headless"],
    ["--config", "/etc/x.yaml"],
    ["--model=/etc"],
    ["--node-rank=3"],
)


def _overlays() -> Iterator[tuple[str, Document]]:
    for context in _CONTEXTS:
        yield f"engine {context}", _engine({"securityContext": context})
        yield f"sidecar {context}", _other({"securityContext": context})
        yield f"init {context}", _other({"securityContext": context}, "initContainers")
    for context in _CONTEXTS[2:9]:
        yield f"pod {context}", _pod({"securityContext": context})
    for volume in _VOLUMES:
        yield f"volume {volume}", _pod({"volumes": [{"name": "data"} | volume]})
        yield (
            f"mounted {volume}",
            _pod(
                {
                    "volumes": [{"name": "data"} | volume],
                    "containers": [{"name": "engine", "volumeMounts": [{"name": "data", "mountPath": "/host"}]}],
                }
            ),
        )
    yield from ((f"pod {spec}", _pod(spec)) for spec in _POD_SPECS)
    yield from ((f"engine {container}", _engine(container)) for container in _ENGINE)
    yield from ((f"metadata {metadata}", {"podTemplate": {"metadata": metadata}}) for metadata in _METADATA)
    yield from ((f"flags {flags}", {"engine": {"extraArgs": flags}}) for flags in _OWNED_FLAGS)
    for name in ("launcher", "engine"):
        yield f"init {name}", _pod({"initContainers": [{"name": name, "image": "evil"}]})
    yield "sidecar launcher", _pod({"containers": [{"name": "launcher", "image": "evil"}]})
    yield "sidecar host port", _other({"ports": [{"containerPort": 1, "hostPort": 1}]})


def _document(spec: Document) -> Document:
    document = copy.deepcopy(resource(gateway=None, accelerator=None))
    document["spec"] |= copy.deepcopy(spec)
    return document


def _names() -> Iterator[tuple[str, Document]]:
    for text in TEXTS:
        document = _document({})
        document["metadata"]["name"] = text
        yield f"name {text[:30]!r}", document


def hostile() -> list[tuple[str, Document]]:
    """Every case, with what it tries."""
    fields = ((f"{name} {text[:30]!r}", _document(spec)) for text in TEXTS for name, spec in _fields(text))
    overlays = ((name, _document(spec)) for name, spec in _overlays())
    return list(itertools.chain(fields, overlays, _names()))


# ---- what must not come of it ----------------------------------------------------------------------------

_NEVER_TRUE = frozenset({"hostNetwork", "hostPID", "hostIPC", "privileged", "allowPrivilegeEscalation"})
_NEVER_THERE = frozenset({"hostPath", "hostPort", "nodeName", "nfs", "iscsi", "flexVolume", "gitRepo", "lifecycle"})


def pod_templates(children: list[Document]) -> list[Document]:
    """Those of every LeaderWorkerSet."""
    found = [
        child["spec"].get("leaderWorkerTemplate") or {} for child in children if child["kind"] == "LeaderWorkerSet"
    ]
    return [group[role] for group in found for role in ("leaderTemplate", "workerTemplate") if role in group]


def faults(document: Document, children: list[Document]) -> list[str]:
    """How the children harm anybody but their owner."""
    namespace = document["metadata"]["namespace"]
    found = [
        f"{child['kind']} in another namespace" for child in children if child["metadata"]["namespace"] != namespace
    ]
    for pod in pod_templates(children):
        found += _pod_faults(pod["spec"], document)
    return found


def _pod_faults(pod: Document, document: Document) -> Iterator[str]:
    yield from _walk(pod, "pod")
    if pod["serviceAccountName"] != f"{document['metadata']['name']}-engine" or pod["automountServiceAccountToken"]:
        yield "another service account, or its token"
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        if container["name"] in {"engine", "launcher"}:
            yield from _container_faults(container, document)


def _container_faults(container: Document, document: Document) -> Iterator[str]:
    words = [*container.get("command", []), *container.get("args", [])]
    if not all(isinstance(word, str) for word in words):
        yield "a command that is no list of words"
    if container["name"] == "engine":
        if container["command"] != ["python3", "/trireme/runtime.pyz"]:
            yield f"the engine is not started by the launcher but by {container['command']}"
        variables = {each["name"]: str(each.get("value", "secret")) for each in container["env"]}
        received = [expanded(word, variables) for word in container["args"]]
        extra = (document["spec"].get("engine") or {}).get("extraArgs") or []
        if received[:2] != ["vllm", "serve"] or received[len(received) - len(extra) :] != extra:
            yield f"the launcher does not receive what was written, but {received}"
        served = document["spec"]["model"].get("servedName")
        if served is not None and served not in received:
            yield f"the served name is not received as it was written, but {received}"
        source = document["spec"]["model"]["source"].partition("//")[2] or document["spec"]["model"]["source"]
        if not any(source.rstrip("/").endswith(word.rstrip("/").rpartition("/")[2]) for word in received[2:]):
            yield f"the source is not received as it was written, but {received}"


def _walk(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if (key in _NEVER_TRUE and value is not False) or key in _NEVER_THERE:
                yield f"{path}.{key} is {value!r}"
            if key == "capabilities" and value != {"drop": ["ALL"]}:
                yield f"{path}.{key} is {value!r}"
            yield from _walk(value, f"{path}.{key}")
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _walk(item, f"{path}[{index}]")


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """A word as the kubelet hands it to the process.

    Source: k8s.io/kubernetes, third_party/forked/golang/expansion/expand.go.
    """

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^()$]*)\)", value, text)
