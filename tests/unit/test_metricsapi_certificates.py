"""The metrics server's certificate over the months, and who of several servers writes it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from datetime import UTC, datetime, timedelta
from tempfile import NamedTemporaryFile
from typing import Any

import pytest

from tests.unit.fake_kube import FakeKube
from tests.unit.tls import FrontProxyAuthority
from trireme_operator.kube import CONFIG_MAP, SECRET, Conflict, Forbidden, Kind, Unreachable
from trireme_operator.metricsapi import certificates, front_proxy
from trireme_operator.metricsapi.certificates import LIFETIME, RENEW_BEFORE, SETTLE, Serving, due, serving
from trireme_operator.metricsapi.front_proxy import FrontProxy, NoFrontProxyError
from trireme_operator.metricsapi.identity import LOOK_SECONDS, RETRY_SECONDS, Identity, Keeper, decoded
from trireme_operator.rendering.api_service import CA_KEY, MetricsService

HOST = "trireme-metrics-api.trireme-system.svc"
SERVICE = MetricsService("trireme-system", "trireme-metrics-api")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def changed(data: dict[str, str], now: datetime, *, host: str = HOST) -> dict[str, str]:
    """The Secret after one server looked."""
    changes = due(data, host=host, now=now) or {}
    return {key: value for key, value in (data | changes).items() if value is not None}


def in_use(data: dict[str, str], now: datetime) -> str:
    found = serving(data, host=HOST, now=now)
    assert found is not None
    return found.certificate


def authorities(data: dict[str, str]) -> int:
    return data[CA_KEY].count("BEGIN CERTIFICATE")


def verified(trusted: str, certificate: str, key: str) -> None:
    """A handshake in memory, as the API server would do it. Raises ssl.SSLError."""
    client_in, client_out, server_in, server_out = (ssl.MemoryBIO() for _ in range(4))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with NamedTemporaryFile("w") as pair:
        pair.write(key + certificate)
        pair.flush()
        context.load_cert_chain(pair.name)
    server = context.wrap_bio(server_in, server_out, server_side=True)
    client = ssl.create_default_context(cadata=trusted).wrap_bio(client_in, client_out, server_hostname=HOST)
    for _ in range(4):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            server_in.write(client_out.read())
            client_in.write(server_out.read())


def test_an_empty_secret_gets_a_certificate_that_its_authority_proves() -> None:
    now = datetime.now(UTC)
    data = changed({}, now)

    verified(data[CA_KEY], data["tls.crt"], data["tls.key"])
    assert due(data, host=HOST, now=now) is None
    assert due(data, host=HOST, now=now + LIFETIME - RENEW_BEFORE - timedelta(minutes=1)) is None
    with pytest.raises(ssl.SSLError):
        verified(changed({}, now)[CA_KEY], data["tls.crt"], data["tls.key"])


def test_no_key_of_an_authority_is_kept() -> None:
    data = changed({}, NOW)
    assert sorted(data) == ["ca.crt", "tls.crt", "tls.key"]
    assert "PRIVATE KEY" not in data[CA_KEY]


def test_a_renewal_is_trusted_before_it_is_used() -> None:
    first = changed({}, NOW)
    later = NOW + LIFETIME - RENEW_BEFORE
    announced = changed(first, later)

    assert in_use(announced, later) == first["tls.crt"]
    assert authorities(announced) == 2
    assert due(announced, host=HOST, now=later + SETTLE - timedelta(seconds=1)) is None

    switched = changed(announced, later + SETTLE)
    assert in_use(switched, later) == announced["next.crt"] != first["tls.crt"]
    assert switched[CA_KEY] == announced[CA_KEY], "who still serves the old one must be trusted, too"
    assert "next.key" not in switched
    assert due(switched, host=HOST, now=later + SETTLE) is None


def test_authorities_do_not_pile_up_over_the_years() -> None:
    data, now = changed({}, NOW), NOW
    seen = {data["tls.crt"]}
    for _ in range(5 * 12 * 24):
        now += timedelta(hours=30)
        data = changed(data, now)
        assert serving(data, host=HOST, now=now) is not None, now
        seen.add(data["tls.crt"])
    assert authorities(data) <= 2
    assert len(seen) > 20


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param({"tls.crt": "nonsense"}, id="no certificate"),
        pytest.param({"tls.key": ""}, id="no key"),
        pytest.param({CA_KEY: ""}, id="no authority"),
        pytest.param({CA_KEY: "nonsense"}, id="an authority that is none"),
        pytest.param({"tls.key": changed({}, NOW)["tls.key"]}, id="the key of another one"),
        pytest.param(changed({}, NOW, host="other.svc"), id="another host"),
        pytest.param(changed({}, NOW - LIFETIME - timedelta(days=1)), id="it has ended"),
        pytest.param(changed({}, NOW + timedelta(days=1)), id="it is not valid yet"),
    ],
)
def test_what_can_not_be_served_is_replaced_at_once(spoilt: dict[str, str]) -> None:
    data = changed({}, NOW) | spoilt
    assert serving(data, host=HOST, now=NOW) is None
    assert in_use(changed(data, NOW), NOW) != data["tls.crt"]


def test_one_that_ended_before_its_time_gives_way_to_the_next_one_which_all_trust() -> None:
    announced = changed(changed({}, NOW), NOW + LIFETIME - RENEW_BEFORE)
    after = changed(announced, NOW + LIFETIME + timedelta(seconds=1))
    assert in_use(after, NOW + LIFETIME + timedelta(seconds=1)) == announced["next.crt"]
    assert after[CA_KEY] == announced[CA_KEY]
    long_after = NOW + 2 * LIFETIME
    anew = changed(announced, long_after)
    assert in_use(anew, long_after) not in {announced["tls.crt"], announced["next.crt"]}, "both have ended"
    assert "next.crt" not in anew


def test_a_spoilt_announcement_is_made_anew() -> None:
    later = NOW + LIFETIME - RENEW_BEFORE
    data = changed(changed({}, NOW), later) | {"next.key": "nonsense"}
    again = changed(data, later)
    assert in_use(changed(again, later + SETTLE), later + SETTLE) == again["next.crt"] != data["next.crt"]


# ---- whom it serves ----------------------------------------------------------------------------------------


def peer(name: str) -> dict[str, Any]:
    return {"subject": ((("organizationName", "x"),), (("commonName", name),))}


@pytest.mark.parametrize(
    ("names", "shown", "admitted"),
    [
        pytest.param({"front"}, peer("front"), True, id="the name"),
        pytest.param({"front", "back"}, peer("back"), True, id="one of the names"),
        pytest.param(set(), peer("anybody"), True, id="any name, where none is given"),
        pytest.param({"front"}, peer("mallory"), False, id="another name"),
        pytest.param({"front"}, None, False, id="no certificate"),
        pytest.param(set(), {}, False, id="no certificate, where no name is given"),
    ],
)
def test_only_the_front_proxy_is_admitted(names: set[str], shown: dict[str, Any] | None, admitted: bool) -> None:
    assert FrontProxy("pem", frozenset(names)).admits(shown) is admitted


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param({}, "start kube-apiserver with", id="no aggregation layer"),
        pytest.param(
            {"requestheader-client-ca-file": "x", "requestheader-allowed-names": "{}"}, "no list", id="object"
        ),
        pytest.param(
            {"requestheader-client-ca-file": "x", "requestheader-allowed-names": "["}, "no list", id="cut off"
        ),
    ],
)
def test_a_config_map_that_says_nothing_useful_is_an_error(data: dict[str, str], says: str) -> None:
    with pytest.raises(NoFrontProxyError, match=says):
        front_proxy.read({"data": data})


# ---- several servers ---------------------------------------------------------------------------------------


class Cluster(FakeKube):
    """With the ConfigMap, and the Secret as the chart makes it. JSON merge patches remove what is null."""

    def __init__(self) -> None:
        super().__init__()
        data = {
            "requestheader-client-ca-file": FrontProxyAuthority().pem,
            "requestheader-allowed-names": json.dumps(["front"]),
        }
        where = {"namespace": front_proxy.NAMESPACE, "name": front_proxy.NAME}
        self.add(CONFIG_MAP, {"metadata": where, "data": data})
        self.add(SECRET, {"metadata": {"namespace": SERVICE.namespace, "name": SERVICE.name}})

    async def merge(self, kind: Kind, obj: dict[str, Any], *, manager: str) -> dict[str, Any]:
        merged = await super().merge(kind, obj, manager=manager)
        live = self.one(kind, SERVICE.name, SERVICE.namespace)
        live["data"] = {key: value for key, value in live["data"].items() if value is not None}
        return merged


def keeper(api: FakeKube, now: datetime = NOW) -> Keeper:
    async def use(*_: object) -> None:
        """Nothing listens here."""

    return Keeper(api, SERVICE, use, now=lambda: now)


async def test_of_two_servers_one_writes_and_both_serve_the_same() -> None:
    api = Cluster()
    one, other = await asyncio.gather(keeper(api).look(), keeper(api).look())

    assert one == other
    assert one.proxy.names == {"front"}
    stored = decoded(api.one(SECRET, SERVICE.name, SERVICE.namespace))
    assert one.serving.certificate == stored["tls.crt"]
    assert {key.partition(".")[0] for key in stored} == {"ca", "tls"}


async def test_who_lost_the_race_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trireme_operator.metricsapi.identity.RETRY_SECONDS", 0.0)
    api = Cluster()
    lost: list[int] = []

    def race(verb: str, kind: Kind, _: str) -> Exception | None:
        if verb == "merge" and not lost:
            lost.append(1)
            store(api, changed({}, NOW))
            return Conflict("the object has been modified", status=409)
        return None

    api.fail = race
    found = await keeper(api).look()
    assert found.serving.certificate == decoded(api.one(SECRET, SERVICE.name, SERVICE.namespace))["tls.crt"]
    assert lost
    assert api.writes == []


def forbidden(verb: str, _kind: Kind, _name: str) -> Exception | None:
    return Forbidden("secrets is forbidden", status=403) if verb == "merge" else None


def store(api: FakeKube, data: dict[str, str]) -> None:
    secret = api.one(SECRET, SERVICE.name, SERVICE.namespace)
    secret["data"] = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}


async def test_what_is_good_is_served_though_its_renewal_is_refused() -> None:
    """A server that starts in the last month of a certificate whose renewal it may not write."""
    api, data = Cluster(), changed({}, NOW)
    store(api, data)
    api.fail = forbidden
    later = NOW + LIFETIME - RENEW_BEFORE + timedelta(days=1)
    assert (await keeper(api, later).look()).serving.certificate == data["tls.crt"]
    with pytest.raises(Forbidden):
        await keeper(api, NOW + LIFETIME).look()


@pytest.mark.parametrize(
    ("left", "pause"),
    [
        pytest.param(timedelta(days=1), LOOK_SECONDS, id="good for long"),
        pytest.param(timedelta(seconds=7), 7.0, id="until its end"),
        pytest.param(timedelta(seconds=-7), RETRY_SECONDS, id="it has ended"),
        pytest.param(None, RETRY_SECONDS, id="nothing is served"),
    ],
)
async def test_it_is_looked_at_again_when_it_ends(
    left: timedelta | None, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OverError(Exception):
        """The first pause has come."""

    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        raise OverError

    api = Cluster()
    api.fail = lambda *_: Unreachable("no answer")
    looking = keeper(api)
    if left is not None:
        looking.current = Identity(Serving("", "", NOW + left), FrontProxy("", frozenset()))
    monkeypatch.setattr("trireme_operator.metricsapi.identity.asyncio.sleep", sleep)
    with pytest.raises(OverError):
        await looking.run()
    assert pauses == [pause]


def test_what_is_no_text_in_the_secret_is_passed_over() -> None:
    assert decoded({"data": {"a": "///", "b": base64.b64encode(b"\xff").decode(), "c": "eA=="}}) == {"c": "x"}
    assert decoded({}) == {}
    assert certificates.serving({}, host=HOST, now=NOW) is None
