"""What is kept of the answers to our writes."""

from tests.unit.fake_kube import FakeKube
from tests.unit.stores import filled
from trireme_operator.controller.recording import RecordingApi
from trireme_operator.kube import SERVICE, Kind, Obj


class Telling(FakeKube):
    """Answers as an API server does: with who manages which field."""

    async def apply(
        self, kind: Kind, obj: Obj, *, manager: str, force: bool = True, subresource: str | None = None
    ) -> Obj:
        answer = await super().apply(kind, obj, manager=manager, force=force, subresource=subresource)
        answer["metadata"]["managedFields"] = [{"manager": manager}]
        return answer


async def test_who_manages_which_field_is_not_kept() -> None:
    kube = Telling()
    store = await filled(kube)
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "genai", "name": "a"}, "spec": {}}
    answer = await RecordingApi(kube, store).apply(SERVICE, service, manager="trireme")
    assert "managedFields" not in answer["metadata"]
    kept = store.get(SERVICE, ("genai", "a"))
    assert kept is not None
    assert "managedFields" not in kept["metadata"]
