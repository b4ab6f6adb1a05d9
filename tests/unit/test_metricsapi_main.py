"""The metrics server's settings, and its numbers."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from tests.unit.fake_kube import FakeKube
from tests.unit.test_metricsapi_leaders import pod
from trireme_operator.environment import ConfigurationError
from trireme_operator.metricsapi import main
from trireme_operator.metricsapi.certificates import Serving
from trireme_operator.metricsapi.front_proxy import FrontProxy
from trireme_operator.metricsapi.identity import Identity, Keeper
from trireme_operator.metricsapi.leaders import Leaders
from trireme_operator.metricsapi.metrics import Metrics
from trireme_operator.metricsapi.scrape import Scraper
from trireme_operator.rendering.api_service import MetricsService

SERVICE = {"TRIREME_METRICS_API": "trireme-system/trireme-metrics-api"}


def test_settings_are_read_with_their_defaults() -> None:
    read = main.read_configuration(SERVICE)
    assert read.service == MetricsService("trireme-system", "trireme-metrics-api")
    assert read.service.host == "trireme-metrics-api.trireme-system.svc"
    assert (read.port, read.metrics_port, read.namespaces, read.log_format) == (8443, 9090, (), "json")
    assert read.kubeconfig is None
    more = {"TRIREME_NAMESPACES": "a, b", "KUBECONFIG": "/k", "TRIREME_METRICS_API_PORT": "9443"}
    again = main.read_configuration(SERVICE | more)
    assert (again.namespaces, again.kubeconfig, again.port) == (("a", "b"), Path("/k"), 9443)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRIREME_METRICS_API", ""),
        ("TRIREME_METRICS_API", "a/b/c"),
        ("TRIREME_METRICS_API_PORT", "0"),
        ("TRIREME_METRICS_PORT", "http"),
        ("TRIREME_LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_setting_is_named_with_its_value(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is .*{value}"):
        main.read_configuration(SERVICE | {name: value})


def test_a_process_without_settings_ends_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "environ", {})
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert "TRIREME_METRICS_API is not set: it names the Service" in capsys.readouterr().err


async def test_its_metrics_tell_leaders_answers_and_the_end_of_the_certificate() -> None:
    async def read(_: str) -> bytes:
        return b""

    scraper = Scraper(Leaders(), read, clock=lambda: 100.0)
    for group in range(2):
        scraper.see(pod(group))
    target = scraper.leaders.see(pod(0))
    assert target is not None
    scraper.leaders.said(target, 3, 100.0)

    async def use(*_: object) -> None:
        """Nothing listens here."""

    keeper = Keeper(FakeKube(), MetricsService("a", "b"), use, now=lambda: datetime.now(UTC))
    metrics = Metrics()
    metrics.watch(scraper, keeper)
    metrics.answered("200", 0.002)
    metrics.reads.labels("ok").inc()
    assert "trireme_metricsapi_certificate_seconds 0.0" in said(metrics)

    ends = datetime.now(UTC) + timedelta(days=2)
    keeper.current = Identity(Serving("", "", ends), FrontProxy("", frozenset()))
    lines = said(metrics)
    assert "trireme_metricsapi_leaders 2.0" in lines
    assert "trireme_metricsapi_leaders_fresh 1.0" in lines
    assert "trireme_metricsapi_interval_seconds 2.0" in lines
    assert 'trireme_metricsapi_requests_total{code="200"} 1.0' in lines
    assert 'trireme_metricsapi_reads_total{outcome="ok"} 1.0' in lines
    (left,) = [float(line.split()[1]) for line in lines if line.startswith("trireme_metricsapi_certificate_seconds ")]
    assert 1.9 * 86400 < left <= 2 * 86400


def said(metrics: Metrics) -> list[str]:
    return generate_latest(metrics.registry).decode().splitlines()
