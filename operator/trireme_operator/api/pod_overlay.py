"""What ``spec.podTemplate`` may say.

The CustomResourceDefinition does not describe a pod (two whole PodSpecs would make it ten times as big), so its rules
are checked here and become the condition ``Accepted``. Three kinds of things are refused: what the operator and the
launcher rely on (docs/contract.md), what a shape other than a pod's would break in us, and what Pod Security
``restricted`` forbids (https://kubernetes.io/docs/concepts/security/pod-security-standards/). Names of fields below
containers are left to the API server, which refuses unknown ones by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from trireme_operator.api.labels import LWS_PREFIX, MANAGED_BY, PREFIX, TOPOLOGY_ZONE
from trireme_operator.api.model_overlay import clashes
from trireme_operator.api.mounts import ALWAYS_MOUNTED
from trireme_operator.api.network_overlay import clashes as network_clashes
from trireme_operator.api.quantity import canonical
from trireme_operator.api.resource import Spec
from trireme_operator.api.violations import Violation

ENGINE: Final = "engine"
LAUNCHER: Final = "launcher"
VOLUME_LAUNCHER: Final = "trireme-launcher"
VOLUME_PREFIX: Final = "trireme-"

CONTRACT_ENV: Final = frozenset(
    {
        "LWS_LEADER_ADDRESS",
        "LWS_GROUP_SIZE",
        "LWS_WORKER_INDEX",
        "VLLM_HOST_IP",
        "HOME",
    }
)
"""Names of the contract's environment beside those that begin with ``TRIREME_``."""

POD_FIELDS: Final = frozenset(
    {
        "affinity",
        "containers",
        "dnsConfig",
        "dnsPolicy",
        "hostAliases",
        "imagePullSecrets",
        "initContainers",
        "nodeSelector",
        "preemptionPolicy",
        "priorityClassName",
        "resourceClaims",
        "runtimeClassName",
        "schedulerName",
        "schedulingGates",
        "securityContext",
        "tolerations",
        "topologySpreadConstraints",
        "volumes",
    }
)
"""Fields of a pod's spec that may be laid over; all others are the operator's."""

ENGINE_FIELDS: Final = frozenset({"name", "env", "envFrom", "ports", "resources", "securityContext", "volumeMounts"})
"""Fields of the engine's container that may be laid over."""

ELSEWHERE: Final = {
    "image": "spec.engine.image sets it",
    "imagePullPolicy": "spec.engine.imagePullPolicy sets it",
    "command": "the launcher is process 1; arguments of the engine belong into spec.engine.extraArgs",
    "args": "arguments of the engine belong into spec.engine.extraArgs",
    "hostNetwork": "host access is not allowed (Pod Security restricted)",
    "hostPID": "host access is not allowed (Pod Security restricted)",
    "hostIPC": "host access is not allowed (Pod Security restricted)",
    "serviceAccountName": "pods run as a service account of their own without any right",
    "serviceAccount": "pods run as a service account of their own without any right",
    "automountServiceAccountToken": "pods run as a service account of their own without any right",
}

RESTRICTED_VOLUMES: Final = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)

_KEYS: Final = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "tolerations": None,
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "envFrom": None,
    "resourceClaims": "name",
    "schedulingGates": "name",
    "requiredDuringSchedulingIgnoredDuringExecution": None,
}
_OBJECTS: Final = frozenset(
    {
        "affinity",
        "dnsConfig",
        "emptyDir",
        "limits",
        "nodeSelector",
        "podAffinity",
        "requests",
        "resources",
        "securityContext",
    }
)


def violations(spec: Spec) -> tuple[Violation, ...]:
    """Everything in ``spec.podTemplate`` that may not be there, with the path of each."""
    if spec.pod_template is None:
        return ()
    metadata, pod = spec.pod_template.metadata or {}, spec.pod_template.spec or {}
    shape = tuple(_shape(pod, "spec.podTemplate.spec"))
    if shape:
        return shape
    return (*_metadata(metadata), *_pod(pod), *_zone(spec, pod), *_fields(spec, pod))


def _shape(node: Mapping[str, Any], path: str) -> Iterator[Violation]:
    """Lists are lists of objects that carry their key, objects are objects: what merging relies on."""
    for name, value in node.items():
        at = f"{path}.{name}"
        if value is None:
            continue
        if name in _KEYS:
            yield from _list_shape(value, at, key=_KEYS[name])
        elif name == "sizeLimit":
            yield from _quantities({name: value}, path)
        elif name not in _OBJECTS:
            continue
        elif not isinstance(value, dict):
            yield Violation(at, f"{value!r} must be an object")
        elif name in {"limits", "requests"}:
            yield from _quantities(value, at)
        else:
            yield from _shape(value, at)


def _list_shape(value: Any, path: str, *, key: str | None) -> Iterator[Violation]:
    if not isinstance(value, list):
        yield Violation(path, f"{value!r} must be a list")
        return
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            yield Violation(f"{path}[{index}]", f"{item!r} must be an object")
        elif key is not None and not isinstance(item.get(key), str | int):
            yield Violation(f"{path}[{index}].{key}", "must be set: items are merged by it")
        else:
            yield from _shape(item, f"{path}[{index}]")


def _quantities(amounts: Mapping[str, Any], path: str) -> Iterator[Violation]:
    for name, amount in amounts.items():
        try:
            canonical(amount)
        except ValueError as error:
            yield Violation(f"{path}.{name}", str(error))


def _metadata(metadata: Mapping[str, Any]) -> Iterator[Violation]:
    path = "spec.podTemplate.metadata"
    for name, values in metadata.items():
        if name not in {"labels", "annotations"}:
            yield Violation(f"{path}.{name}", "only labels and annotations may be set here: remove it")
        elif not isinstance(values, dict):
            yield Violation(f"{path}.{name}", f"{values!r} must be an object")
        else:
            for key, value in values.items():
                if key.startswith((PREFIX, LWS_PREFIX)) or key == MANAGED_BY[0]:
                    yield Violation(f"{path}.{name}[{key}]", "is set by the operator or LeaderWorkerSet: remove it")
                elif key.startswith("container.apparmor.security.beta.kubernetes.io/"):
                    yield Violation(f"{path}.{name}[{key}]", "AppArmor profiles can't be changed: remove it")
                elif not isinstance(value, str):
                    yield Violation(f"{path}.{name}[{key}]", f"{value!r} must be text: put it in quotes")


def _pod(pod: Mapping[str, Any]) -> Iterator[Violation]:
    path = "spec.podTemplate.spec"
    for name in sorted(set(pod) - POD_FIELDS):
        reason = ELSEWHERE.get(name, "the operator sets it, or no pod has it")
        yield Violation(f"{path}.{name}", f"can't be set here: {reason}")
    yield from _security(pod.get("securityContext") or {}, f"{path}.securityContext")
    for index, volume in enumerate(pod.get("volumes") or []):
        yield from _volume(volume, f"{path}.volumes[{index}]")
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(pod.get(kind) or []):
            yield from _container(container, f"{path}.{kind}[{index}]", main=kind == "containers")


def _volume(volume: Mapping[str, Any], path: str) -> Iterator[Violation]:
    if str(volume["name"]).startswith(VOLUME_PREFIX):
        yield Violation(
            f"{path}.name",
            f"{volume['name']!r}: names that begin with {VOLUME_PREFIX} are the operator's; mount a volume of another"
            " name, for example at a path below /home/trireme",
        )
    for source in sorted(set(volume) - RESTRICTED_VOLUMES - {"name"}):
        yield Violation(
            f"{path}.{source}",
            f"is not allowed (Pod Security restricted): use one of {', '.join(sorted(RESTRICTED_VOLUMES))}",
        )


def _container(container: Mapping[str, Any], path: str, *, main: bool) -> Iterator[Violation]:
    name = container["name"]
    if name == LAUNCHER or (name == ENGINE and not main):
        yield Violation(f"{path}.name", f"{name!r} is the operator's own container: choose another name")
    if name == ENGINE and main:
        for field in sorted(set(container) - ENGINE_FIELDS):
            reason = ELSEWHERE.get(field, "the operator sets it, or no container has it")
            yield Violation(f"{path}.{field}", f"can't be set for the engine: {reason}")
        yield from _engine(container, path)
    for index, port in enumerate(container.get("ports") or []):
        if port.get("hostPort"):
            yield Violation(f"{path}.ports[{index}].hostPort", "host access is not allowed (Pod Security restricted)")
    for index, mount in enumerate(container.get("volumeMounts") or []):
        if mount.get("name") == VOLUME_LAUNCHER:
            yield Violation(
                f"{path}.volumeMounts[{index}].name", "the launcher's own volume can't be mounted elsewhere"
            )
    yield from _security(container.get("securityContext") or {}, f"{path}.securityContext")


def _engine(container: Mapping[str, Any], path: str) -> Iterator[Violation]:
    for index, variable in enumerate(container.get("env") or []):
        if variable["name"] in CONTRACT_ENV or str(variable["name"]).startswith("TRIREME_"):
            yield Violation(
                f"{path}.env[{index}].name", f"{variable['name']} is part of the launcher's contract: remove it"
            )
    for index, mount in enumerate(container.get("volumeMounts") or []):
        if str(mount["mountPath"]).rstrip("/") in ALWAYS_MOUNTED:
            yield Violation(
                f"{path}.volumeMounts[{index}].mountPath",
                f"{mount['mountPath']} is the operator's own mount: mount at a path below or beside it",
            )


def _security(context: Mapping[str, Any], path: str) -> Iterator[Violation]:
    capabilities = context.get("capabilities")
    seccomp = context.get("seccompProfile")
    forbidden = {
        "privileged": bool(context.get("privileged")),
        "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") not in (None, False),
        "capabilities": capabilities is not None and capabilities != {"drop": ["ALL"]},
        "procMount": context.get("procMount") not in (None, "Default"),
        "runAsNonRoot": context.get("runAsNonRoot") not in (None, True),
        "runAsUser": context.get("runAsUser") == 0,
        "seccompProfile": not isinstance(seccomp, dict | None)
        or (seccomp or {}).get("type") not in (None, "RuntimeDefault", "Localhost"),
        "seLinuxOptions": context.get("seLinuxOptions") is not None,
        "appArmorProfile": context.get("appArmorProfile") is not None,
        "windowsOptions": context.get("windowsOptions") is not None,
        "sysctls": bool(context.get("sysctls")),
    }
    for name, broken in forbidden.items():
        if broken:
            yield Violation(
                f"{path}.{name}", f"{context[name]!r} is more than Pod Security restricted allows: remove it"
            )


def _zone(spec: Spec, pod: Mapping[str, Any]) -> Iterator[Violation]:
    if spec.zones is not None and TOPOLOGY_ZONE in (pod.get("nodeSelector") or {}):
        yield Violation(
            f"spec.podTemplate.spec.nodeSelector[{TOPOLOGY_ZONE}]", "spec.zones sets it for each zone: remove it"
        )


def _fields(spec: Spec, pod: Mapping[str, Any]) -> Iterator[Violation]:
    for index, container in enumerate(pod.get("containers") or []):
        if container["name"] == ENGINE:
            path = f"spec.podTemplate.spec.containers[{index}]"
            yield from clashes(spec.model, container, path)
            yield from network_clashes(spec.network, container, path)
