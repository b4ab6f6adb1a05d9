"""The adapter over real HTTP: paths, credentials, errors, paging, time limits."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config.incluster_config import InClusterConfigLoader

from trireme_operator.kube import (
    HTTP_ROUTE,
    INFERENCE_CLUSTER,
    LEADER_WORKER_SET,
    SERVICE,
    ApiError,
    ApiMissing,
    Conflict,
    Forbidden,
    Invalid,
    KubernetesApi,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """An HTTP server that records requests and answers as a test tells it."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: Callable[[web.Request], web.Response | Awaitable[web.Response]] = lambda _: web.json_response({})
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, str(request.rel_url), dict(request.headers), await request.read()))
        answer = self.answer(request)
        return answer if isinstance(answer, web.Response) else await answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[KubernetesApi]:
    configuration = Configuration(host=server.url)
    configuration.api_key["BearerToken"] = "bearer first"
    api = KubernetesApi(ApiClient(configuration), timeout_seconds=2)
    yield api
    await api.close()


def status(code: int, message: str, **more: Any) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "message": message, "code": code} | more
    return web.json_response(body, status=code)


async def test_apply_is_a_forced_strict_patch_of_a_manager_with_credentials(api: KubernetesApi, server: Server) -> None:
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "b"}}
    await api.apply(SERVICE, obj, manager="trireme")
    method, url, headers, body = server.requests[0]
    assert method == "PATCH"
    assert url == "/api/v1/namespaces/b/services/a?fieldManager=trireme&fieldValidation=Strict&force=true"
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    assert headers["Authorization"] == "bearer first"
    assert json.loads(body) == obj


async def test_merge_is_a_merge_patch_of_a_manager(api: KubernetesApi, server: Server) -> None:
    obj = {"metadata": {"name": "a", "namespace": "b", "uid": "u-1"}, "spec": {"ports": []}}
    await api.merge(SERVICE, obj, manager="trireme")
    method, url, headers, body = server.requests[0]
    assert (method, headers["Content-Type"]) == ("PATCH", "application/merge-patch+json")
    assert url == "/api/v1/namespaces/b/services/a?fieldManager=trireme&fieldValidation=Strict"
    assert json.loads(body) == obj


async def test_status_goes_to_the_subresource(api: KubernetesApi, server: Server) -> None:
    await api.patch_status(INFERENCE_CLUSTER, {"metadata": {"name": "a", "namespace": "b"}}, manager="trireme")
    assert server.requests[0][1].startswith("/apis/trireme.dev/v1alpha1/namespaces/b/inferenceclusters/a/status?")


async def test_delete_names_the_uid_it_means(api: KubernetesApi, server: Server) -> None:
    await api.delete(HTTP_ROUTE, "b", "a", uid="u-1")
    assert json.loads(server.requests[0][3])["preconditions"] == {"uid": "u-1"}


async def test_list_reads_every_page_and_gives_items_their_kind(api: KubernetesApi, server: Server) -> None:
    def answer(request: web.Request) -> web.Response:
        last = request.query.get("continue") == "next"
        items = [{"metadata": {"name": "two" if last else "one"}}]
        return web.json_response({"items": items, "metadata": {} if last else {"continue": "next"}})

    server.answer = answer
    found = await api.list(SERVICE, None, labels="a=b,c=d")
    assert [(obj["metadata"]["name"], obj["kind"], obj["apiVersion"]) for obj in found] == [
        ("one", "Service", "v1"),
        ("two", "Service", "v1"),
    ]
    assert "labelSelector=a%3Db,c%3Dd" in server.requests[0][1]


NAMED = {"reason": "NotFound", "details": {"name": "a", "kind": "services"}}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(status(404, 'services "a" not found', **NAMED), NotFound, id="the object is missing"),
        pytest.param(web.Response(status=404, text="404 page not found"), ApiMissing, id="the path is not served"),
        pytest.param(
            status(404, "the server could not find the requested resource", details={}), ApiMissing, id="no such kind"
        ),
        pytest.param(status(400, "strict decoding error: unknown field"), Invalid, id="an unknown field"),
        pytest.param(status(422, "is invalid"), Invalid, id="a broken rule"),
        pytest.param(status(401, "Unauthorized"), Unauthorized, id="no credentials"),
        pytest.param(status(403, "forbidden"), Forbidden, id="no right"),
        pytest.param(status(409, "conflict"), Conflict, id="a conflict"),
        pytest.param(status(500, "failed calling webhook"), ServerError, id="a webhook failed"),
        pytest.param(status(500, ".spec.x: field not declared in schema"), Invalid, id="a field that no schema has"),
        pytest.param(web.Response(status=502, text="<html>bad gateway</html>"), ServerError, id="a proxy failed"),
        pytest.param(web.Response(status=200, text="<html>login</html>"), ServerError, id="no JSON"),
    ],
)
async def test_each_answer_becomes_one_error(
    api: KubernetesApi, server: Server, answer: web.Response, error: type[ApiError]
) -> None:
    server.answer = lambda _: web.Response(status=answer.status, body=answer.body, content_type=answer.content_type)
    with pytest.raises(error) as raised:
        await api.get(SERVICE, "b", "a")
    assert type(raised.value) is error
    assert "GET /api/v1/namespaces/b/services/a" in str(raised.value)


async def test_a_missing_namespace_is_not_a_missing_api(api: KubernetesApi, server: Server) -> None:
    details = {"name": "b", "kind": "namespaces"}
    server.answer = lambda _: status(404, 'namespaces "b" not found', details=details)
    with pytest.raises(NotFound):
        await api.list(LEADER_WORKER_SET, "b")


async def test_a_404_of_a_collection_is_a_missing_api(api: KubernetesApi, server: Server) -> None:
    server.answer = lambda _: status(404, "not found", details={"name": "x", "kind": "other"})
    with pytest.raises(ApiMissing):
        await api.list(LEADER_WORKER_SET, "b")


async def test_too_many_requests_says_when_to_come_back(api: KubernetesApi, server: Server) -> None:
    server.answer = lambda _: web.json_response({"message": "slow down"}, status=429, headers={"Retry-After": "7"})
    with pytest.raises(TooManyRequests) as raised:
        await api.get(SERVICE, "b", "a")
    assert raised.value.retry_after == 7


async def test_a_silent_server_is_unreachable_within_the_limit(server: Server) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.json_response({})

    server.answer = hang
    calls: list[tuple[str, str, str]] = []
    api = KubernetesApi(
        ApiClient(Configuration(host=server.url)),
        timeout_seconds=0.05,
        observer=lambda verb, kind, code, _seconds: calls.append((verb, kind, code)),
    )
    with pytest.raises(Unreachable, match="no answer"):
        await api.get(SERVICE, "b", "a")
    assert calls == [("GET", "services", "unreachable")]
    await api.close()


async def test_a_refused_connection_is_unreachable() -> None:
    api = KubernetesApi(ApiClient(Configuration(host="http://127.0.0.1:1")))
    with pytest.raises(Unreachable):
        await api.get(SERVICE, "b", "a")
    await api.close()


async def test_a_rotated_token_is_sent(server: Server, tmp_path: Path) -> None:
    token, certificate = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first")
    certificate.write_text("not looked at")
    host, _, port = server.url.removeprefix("http://").partition(":")
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    make: Any = InClusterConfigLoader
    loader = make(str(token), str(certificate), environ=environ)
    configuration: Any = Configuration()
    loader.load_and_set(configuration)
    configuration.host, configuration.ssl_ca_cert = server.url, None
    client = ApiClient(configuration)
    loader.host, loader.ssl_ca_cert = server.url, None
    api = KubernetesApi(client)
    await api.get(SERVICE, "b", "a")
    token.write_text("second")
    loader.token_expires_at = dt.datetime.now() - dt.timedelta(seconds=1)  # noqa: DTZ005 - the loader's own
    await api.get(SERVICE, "b", "a")
    assert [headers["Authorization"] for _, _, headers, _ in server.requests] == ["bearer first", "bearer second"]
    await api.close()
