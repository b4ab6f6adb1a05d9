"""An in-memory KubeApi for unit tests: server-side apply as far as the controller's decisions need it."""

import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from trireme_operator.kube import ApiError, ApiMissing, Conflict, Kind, NotFound, Obj, Page

Key = tuple[Kind, str, str]
FailFn = Callable[[str, Kind, str], Exception | None]


def copied(obj: Obj) -> Obj:
    """A copy of an object; `copy.deepcopy` takes three times as long, which was a tenth of all unit tests."""
    return {key: _copied(value) for key, value in obj.items()}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return copied(value)
    return [_copied(item) for item in value] if isinstance(value, list) else value


class FakeKube:
    """Objects by kind, namespace and name, with a log of every write."""

    def __init__(self) -> None:
        self.objects: dict[Key, Obj] = {}
        self.unserved: set[Kind] = set()
        self.writes: list[tuple[str, str, str]] = []
        self.fail: FailFn = lambda verb, kind, name: None
        self._applied: dict[tuple[Key, str], Obj] = {}
        self._numbers = itertools.count(1)

    def add(self, kind: Kind, obj: Obj) -> Obj:
        """Put an object there as somebody else would; returns what stands."""
        stored: Obj = {"apiVersion": kind.api_version, "kind": kind.kind, **copied(obj)}
        number = next(self._numbers)
        fresh = {"uid": f"uid-{number}", "resourceVersion": str(number + 1), "generation": 1}
        stored["metadata"] = fresh | stored["metadata"]
        self.objects[kind, stored["metadata"].get("namespace", ""), stored["metadata"]["name"]] = stored
        return stored

    def one(self, kind: Kind, name: str, namespace: str = "genai") -> Obj:
        """The live object itself, to look at or to edit by hand."""
        return self.objects[kind, namespace, name]

    def names(self, kind: Kind) -> set[str]:
        """The names of every object of a kind."""
        return {key[2] for key in self.objects if key[0] == kind}

    async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        self._check("get", kind, name)
        try:
            return copied(self.objects[kind, namespace, name])
        except KeyError:
            raise NotFound(f'{kind} "{name}" not found', status=404) from None

    async def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> list[Obj]:
        self._check("list", kind, "")
        return [
            copied(obj)
            for (found, where, _), obj in self.objects.items()
            if found == kind and namespace in (None, where) and _selected(obj, labels)
        ]

    async def pages(
        self, kind: Kind, namespace: str | None, *, labels: str = "", metadata_only: bool = False
    ) -> AsyncIterator[Page]:
        items = await self.list(kind, namespace, labels=labels)
        yield Page([{"metadata": item["metadata"]} for item in items] if metadata_only else items, self._version())

    async def apply(
        self, kind: Kind, obj: Obj, *, manager: str, force: bool = True, subresource: str | None = None
    ) -> Obj:
        name = obj["metadata"]["name"]
        self._check("apply", kind, name)
        key = (kind, obj["metadata"].get("namespace", ""), name)
        live = self.objects.get(key)
        if live is not None and not force:
            raise Conflict("another manager owns its fields", status=409)
        if live is None and subresource is not None:
            raise NotFound(f'{kind} "{name}" not found', status=404)
        uid = obj["metadata"].get("uid")
        if live is not None and uid not in (None, live["metadata"]["uid"]):
            raise Conflict("the UID in the request differs", status=409)
        version = obj["metadata"].get("resourceVersion")
        if live is not None and version not in {None, live["metadata"]["resourceVersion"]}:
            raise Conflict("the object has been modified", status=409)
        obj = {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}}
        wanted = {"status": obj["status"]} if subresource == "status" else copied(obj)
        before = _copied(live)
        live = live if live is not None else self.add(kind, wanted)
        owner = (key, f"{manager}/{subresource}")
        _remove(live, self._applied.get(owner, {}), wanted)
        _merge(live, wanted)
        self._applied[owner] = copied(wanted)
        self.writes.append(("status" if subresource else "apply", kind.kind, name))
        if before is not None and live.get("spec") != before.get("spec"):
            live["metadata"]["generation"] += 1
        if live != before:
            live["metadata"]["resourceVersion"] = self._version()
        return copied(live)

    async def patch_status(self, kind: Kind, obj: Obj, *, manager: str) -> Obj:
        return await self.apply(kind, obj, manager=manager, subresource="status")

    async def merge(self, kind: Kind, obj: Obj, *, manager: str) -> Obj:
        assert manager, "the API server would make up a name"
        metadata = obj["metadata"]
        self._check("merge", kind, metadata["name"])
        live = self.objects[kind, metadata["namespace"], metadata["name"]]
        if any(live["metadata"][key] != metadata.get(key, live["metadata"][key]) for key in ("uid", "resourceVersion")):
            raise Conflict("the object has been modified", status=409)
        _merge(live, obj)
        live["metadata"]["resourceVersion"] = self._version()
        self.writes.append(("merge", kind.kind, metadata["name"]))
        return copied(live)

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str, grace_seconds: int | None = None
    ) -> None:
        self._check("delete", kind, name)
        live = self.objects.get((kind, namespace, name))
        if live is None:
            raise NotFound(f'{kind} "{name}" not found', status=404)
        if live["metadata"]["uid"] != uid:
            raise Conflict("the UID in the precondition differs", status=409)
        del self.objects[kind, namespace, name]
        self.writes.append(("delete" if grace_seconds is None else f"delete in {grace_seconds} s", kind.kind, name))

    def _version(self) -> str:
        """Later than all before; 1 is no object's, as on a real server."""
        return str(next(self._numbers) + 1)

    def _check(self, verb: str, kind: Kind, name: str) -> None:
        if kind in self.unserved:
            raise ApiMissing("404 page not found", status=404)
        error = self.fail(verb, kind, name)
        if error is not None:
            raise error


def _selected(obj: Obj, labels: str) -> bool:
    have: Mapping[str, str] = obj["metadata"].get("labels") or {}
    wanted = (term.partition("=") for term in labels.split(",") if term)
    return all(key in have if not equal else have.get(key) == value for key, equal, value in wanted)


def _merge(live: Any, wanted: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        if value is None:
            live.pop(key, None)
            continue
        atomic = key in {"selector", "nodeSelector", "labelSelector"}
        if isinstance(value, Mapping) and isinstance(live.get(key), dict) and not atomic:
            _merge(live[key], value)
        else:
            live[key] = _copied(value)


def _remove(live: Any, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """What a manager said before and says no longer goes away."""
    for key, value in before.items():
        if key not in wanted:
            live.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(wanted[key], Mapping) and isinstance(live.get(key), dict):
            _remove(live[key], value, wanted[key])


def error(status: int = 500, message: str = "boom") -> ApiError:
    """An error as the client would raise it."""
    return ApiError(message, status=status)
