"""Whether a live object still says what was rendered."""

from typing import Any

import pytest

from trireme_operator.controller.drift import first_difference


@pytest.mark.parametrize(
    ("live", "rendered", "want"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1}, None, id="additions are no drift"),
        pytest.param({"a": 2}, {"a": 1}, "a", id="a changed value"),
        pytest.param({}, {"a": {"b": 1}}, "a", id="a missing branch"),
        pytest.param({"a": {"b": 2}}, {"a": {"b": 1}}, "a.b", id="a changed leaf"),
        pytest.param({}, {"a": {}, "b": []}, None, id="the server drops what is empty"),
        pytest.param({"a": "text"}, {"a": {"b": 1}}, "a", id="another type"),
        pytest.param({"args": ["a", "b"]}, {"args": ["a"]}, "args", id="an item added to an atomic list"),
        pytest.param({"args": ["b", "a"]}, {"args": ["a", "b"]}, "args[0]", id="an atomic list in another order"),
        pytest.param({"args": ["a"]}, {"args": ["a", "b"]}, "args", id="an item of an atomic list is gone"),
        pytest.param(
            {"env": [{"name": "X", "value": "1"}, {"name": "A", "value": "2"}]},
            {"env": [{"name": "A", "value": "2"}]},
            None,
            id="an item that somebody added to a keyed list",
        ),
        pytest.param(
            {"env": [{"name": "A", "value": "3"}]},
            {"env": [{"name": "A", "value": "2"}]},
            "env[A].value",
            id="a changed item of a keyed list",
        ),
        pytest.param({"add": ["NET_ADMIN", "X"]}, {"add": ["X"]}, None, id="a keyed name with plain items"),
        pytest.param({"env": []}, {"env": [{"name": "A"}]}, "env[A]", id="an item of a keyed list is gone"),
        pytest.param(
            {"ports": [{"port": 80, "protocol": "TCP", "nodePort": 31000}]},
            {"ports": [{"port": 80}]},
            None,
            id="a port with the server's default protocol",
        ),
        pytest.param(
            {"ports": [{"port": 80, "protocol": "UDP"}]},
            {"ports": [{"port": 80}]},
            "ports[80,TCP]",
            id="the same port of another protocol",
        ),
        pytest.param(
            {"rules": [{"backendRefs": [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}]}]},
            {"rules": [{"backendRefs": [{"name": "a", "weight": 1}]}]},
            "rules[0].backendRefs",
            id="a backend added to a route takes traffic",
        ),
        pytest.param(
            {"selector": {"a": "1", "b": "2"}}, {"selector": {"a": "1"}}, "selector.b", id="a key added to a selector"
        ),
        pytest.param(
            {"nodeSelector": {"a": "1", "b": "2"}},
            {"nodeSelector": {"a": "1"}},
            "nodeSelector.b",
            id="a key added to a node selector",
        ),
        pytest.param(
            {"labelSelector": {"matchLabels": {"a": "1", "b": "2"}}},
            {"labelSelector": {"matchLabels": {"a": "1"}}},
            "labelSelector.matchLabels.b",
            id="a key added to a label selector",
        ),
        pytest.param({"selector": {"a": "2"}}, {"selector": {"a": "1"}}, "selector.a", id="a changed selector"),
        pytest.param(
            {"labelSelector": {"matchLabels": {"a": "1"}}},
            {"labelSelector": {"matchLabels": {"a": "1"}, "matchExpressions": []}},
            None,
            id="the server drops what is empty, also in a selector",
        ),
        pytest.param(
            {"ingress": [{"ports": [{"protocol": "TCP", "port": 8000}, {"protocol": "TCP", "port": 22}]}]},
            {"ingress": [{"ports": [{"protocol": "TCP", "port": 8000}]}]},
            "ingress[0].ports[22,TCP]",
            id="a port added to a NetworkPolicy's rule",
        ),
        pytest.param(
            {"ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "1"}}, "namespaceSelector": {}}]}]},
            {"ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "1"}}}]}]},
            "ingress[0].from[0].namespaceSelector",
            id="all namespaces added to a NetworkPolicy's peer",
        ),
        pytest.param({"labels": {"a": "1", "b": "2"}}, {"labels": {"a": "1"}}, None, id="a label added to labels"),
    ],
)
def test_first_difference(live: Any, rendered: Any, want: str | None) -> None:
    assert first_difference(live, rendered) == want
