"""What the page about autoscaling shows: examples that are accepted, and a rule that finds what we serve."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.unit.controller_samples import resource
from trireme_operator.api import parse
from trireme_operator.offline import judge
from trireme_operator.planning import QUEUE_LENGTH, plan
from trireme_operator.rendering.pod_monitor import pod_monitor

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "autoscaling.md").read_text()
BLOCKS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def test_examples_are_accepted() -> None:
    specs = [block["spec"] for block in BLOCKS if "spec" in block and "kind" not in block]
    metrics: list[dict[str, Any]] = [block for block in BLOCKS if "customMetrics" in block]
    scaling = {"maxReplicas": 4, "customMetrics": metrics[0]["customMetrics"]}
    for spec in [*specs, {"autoscaling": scaling, "resources": {"requests": {"cpu": "1"}}}]:
        document = resource(**spec)
        document["metadata"] = {"name": "llm", "namespace": "genai"}
        assert judge(document).findings == ()
    assert len(specs) == 2
    assert len(metrics) == 1


def test_the_metric_is_asked_for_as_the_page_says() -> None:
    (shown,) = [block["metrics"] for block in BLOCKS if isinstance(block.get("metrics"), list)]
    assert shown[0]["pods"]["metric"]["name"] == QUEUE_LENGTH


def test_the_adapters_rule_finds_the_metric_by_labels_that_every_pod_monitor_gives() -> None:
    (rule,) = yaml.safe_load((DOCS / "samples" / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert rule["seriesQuery"].startswith(QUEUE_LENGTH + "{")
    assert re.fullmatch(rule["name"]["matches"], QUEUE_LENGTH)
    assert rule["name"]["as"] == QUEUE_LENGTH
    # The Prometheus Operator gives each series of a PodMonitor its namespace and pod; nothing else may be needed.
    assert (
        set(re.findall(r"(\w+)!?=", rule["seriesQuery"])) == {"namespace", "pod"} == set(rule["resources"]["overrides"])
    )
    cluster = parse(resource())
    monitor = pod_monitor(cluster, plan(cluster))
    assert monitor is not None
    assert {"port": "launcher", "path": "/metrics"} in monitor["spec"]["podMetricsEndpoints"]
