"""Which resources want the metrics server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.controller_samples import NAMESPACE, resource
from tests.unit.fake_kube import FakeKube
from tests.unit.stores import filled
from trireme_operator.controller.metrics_demand import Demand, wants
from trireme_operator.kube import INFERENCE_CLUSTER

Obj = dict[str, Any]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        pytest.param({}, False, id="not autoscaled"),
        pytest.param({"autoscaling": {"maxReplicas": 3}}, True, id="the queue by default"),
        pytest.param({"autoscaling": {"metrics": {"queueLength": 5, "cpu": 70}}}, True, id="beside another"),
        pytest.param({"autoscaling": {"source": "Builtin"}}, True, id="asked for"),
        pytest.param({"autoscaling": {"source": "Auto", "metrics": {}}}, True, id="no metric"),
        pytest.param({"autoscaling": {"metrics": {"cpu": 70}}}, False, id="by the processor alone"),
        pytest.param({"autoscaling": {"customMetrics": [{}]}}, False, id="by metrics of others"),
        pytest.param({"autoscaling": {"source": "KEDA"}}, False, id="KEDA"),
        pytest.param({"autoscaling": {"source": "PrometheusAdapter"}}, False, id="another adapter"),
    ],
)
def test_a_resource_wants_it_for_the_queue_without_another_source(spec: Obj, wanted: bool) -> None:
    assert wants(spec) is wanted


def test_one_resource_is_enough_and_none_before_all_is_known() -> None:
    plain, scaled = resource(), resource()
    scaled["metadata"] = scaled["metadata"] | {"name": "other", "uid": "u-2"}
    scaled["spec"] = scaled["spec"] | {"autoscaling": {"maxReplicas": 3}}
    api = FakeKube()
    for raw in (plain, scaled):
        api.add(INFERENCE_CLUSTER, raw)
    store = asyncio.run(filled(api))
    demand = Demand(store)
    assert demand.is_known
    assert demand()
    other = next(key for key in store.resources() if key.name == "other")
    store.absent(INFERENCE_CLUSTER, (other.namespace, other.name))
    assert not demand()
    assert {key.namespace for key in store.resources()} == {NAMESPACE}
