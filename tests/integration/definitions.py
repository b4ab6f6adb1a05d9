"""The CRDs that an operator may meet: our own, and those of the pinned releases of others."""

import functools
from pathlib import Path

import yaml

from e2e.toolchain import module_dir
from e2e.versions import versions
from trireme_operator.api import crd
from trireme_operator.kube import Obj


def our_crds() -> list[Obj]:
    return [crd()]


def lws_crds() -> list[Obj]:
    folder = module_dir("sigs.k8s.io/lws", versions().binaries["lws"]) / "config/crd/bases"
    return [_load(folder / "leaderworkerset.x-k8s.io_leaderworkersets.yaml")]


def gateway_crds() -> list[Obj]:
    folder = module_dir("sigs.k8s.io/gateway-api", versions().binaries["gateway-api"]) / "config/crd/standard"
    return [_load(folder / f"gateway.networking.k8s.io_{name}.yaml") for name in ("gateways", "httproutes")]


def envoy_gateway_crds() -> list[Obj]:
    module, version = "github.com/envoyproxy/gateway", versions().binaries["envoy-gateway"]
    folder = module_dir(module, version) / "charts/gateway-helm/charts/crds/crds/generated"
    return [_load(folder / "gateway.envoyproxy.io_backendtrafficpolicies.yaml")]


def inference_extension_crds() -> list[Obj]:
    module, version = "sigs.k8s.io/gateway-api-inference-extension", versions().binaries["inference-extension"]
    return [_load(module_dir(module, version) / "config/crd/bases/inference.networking.k8s.io_inferencepools.yaml")]


def monitoring_crds() -> list[Obj]:
    module, version = "github.com/prometheus-operator/prometheus-operator", versions().binaries["prometheus-operator"]
    return [
        _load(module_dir(module, version) / "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml")
    ]


def keda_crds() -> list[Obj]:
    folder = module_dir("github.com/kedacore/keda/v2", versions().binaries["keda"])
    return [_load(folder / "config/crd/bases/keda.sh_scaledobjects.yaml")]


@functools.cache
def _load(file: Path) -> Obj:
    """The C loader: these are megabytes, and the one in Python takes seconds for each.

    Without descriptions, which say nothing to an API server and are most of what it would keep, and publish, of them.
    """
    loaded: Obj = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)
    for version in loaded["spec"]["versions"]:
        _without_descriptions(version["schema"]["openAPIV3Schema"])
    return loaded


def _without_descriptions(schema: Obj) -> None:
    schema.pop("description", None)
    for each in (schema.get("properties") or {}).values():
        _without_descriptions(each)
    for field in ("items", "additionalProperties"):
        if isinstance(schema.get(field), dict):
            _without_descriptions(schema[field])
