"""Why pods and groups are not ready, in stable words."""

import json
from typing import Any

import pytest

from tests.unit.controller_samples import pod
from trireme_operator.controller.causes import Stage, cause_of
from trireme_operator.controller.groups import groups_of
from trireme_operator.kube import Obj

NAME = "llm-zone-a"


def waiting(reason: str, message: str = "") -> Obj:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"name": "engine", "image": "nowhere/x:1", "state": state}]}


def ended(code: int, message: str = "", reason: str = "Error") -> Obj:
    terminated = {"exitCode": code, "reason": reason, "message": message}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    return {"containerStatuses": [{"name": "engine", "state": state, "lastState": {"terminated": terminated}}]}


LAUNCHER = json.dumps({"reason": "EngineExited", "exitCode": 3, "message": "CUDA out of memory", "log": ["x"]})
UNSCHEDULED = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: no zone"}]


@pytest.mark.parametrize(
    ("status", "reason", "stage", "text"),
    [
        pytest.param({"conditions": UNSCHEDULED}, "Unschedulable", Stage.PENDING, "0/3 nodes: no zone", id="no node"),
        pytest.param(
            {
                "conditions": [
                    {**UNSCHEDULED[0], "message": "0/3 nodes: 2 Insufficient nvidia.com/gpu, 1 Insufficient cpu."}
                ]
            },
            "NoCapacity",
            Stage.PENDING,
            "has enough of nvidia.com/gpu, cpu left: 0/3 nodes",
            id="no room",
        ),
        pytest.param(waiting("ErrImagePull", "long"), "ImageNotFound", Stage.PENDING, "'nowhere/x:1'", id="image"),
        pytest.param(
            {"conditions": [{**UNSCHEDULED[0], "message": 'persistentvolumeclaim "models" not found'}]},
            "Unschedulable",
            Stage.PENDING,
            'persistentvolumeclaim "models" not found; see that the claim exists',
            id="no claim",
        ),
        pytest.param(
            waiting("CreateContainerConfigError", 'secret "hf-token" not found'),
            "SecretMissing",
            Stage.PENDING,
            'secret "hf-token" not found; create it',
            id="secret",
        ),
        pytest.param(
            waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
            "PodFailing",
            Stage.PENDING,
            "runAsNonRoot",
            id="another configuration error",
        ),
        pytest.param(ended(1, LAUNCHER), "PodFailing", Stage.FAILED, "EngineExited: CUDA out of memory", id="launcher"),
        pytest.param(ended(137, reason="OOMKilled"), "PodFailing", Stage.FAILED, "OOMKilled", id="out of memory"),
        pytest.param(ended(2, "plain text"), "PodFailing", Stage.FAILED, "exit code 2: plain text", id="plain text"),
        pytest.param(ended(2, "[1]"), "PodFailing", Stage.FAILED, "exit code 2: [1]", id="strange JSON"),
        pytest.param({}, "Starting", Stage.LOADING, "does not answer yet", id="the engine loads"),
        pytest.param({"containerStatuses": []}, "Starting", Stage.STARTING, "is being started", id="nothing yet"),
        pytest.param({"containerStatuses": None, "conditions": None}, "Starting", Stage.STARTING, "", id="no lists"),
    ],
)
def test_cause_of_a_pod(status: Obj, reason: str, stage: Stage, text: str) -> None:
    cause = cause_of(pod(NAME, 0, 0, ready=False, **status))
    assert cause is not None
    assert (cause.reason, cause.stage) == (reason, stage)
    assert text in cause.message
    assert cause.serious == (reason != "Starting")


def told(message: str, log: Any) -> str:
    cause = cause_of(pod(NAME, 0, 0, ready=False, **ended(1, json.dumps({"message": message, "log": log}))))
    assert cause is not None
    return cause.message.partition("exit code 1: ")[2]


def test_the_cause_carries_the_last_lines_of_the_log() -> None:
    assert told("out of memory", ["first", "second", "third ", "", "  fourth\tline"]) == (
        "out of memory; last lines: second | third | fourth line"
    )


def test_a_long_log_is_cut_at_its_beginning_and_a_long_cause_leaves_none() -> None:
    text = told("out of memory", ["a" * 900, "the end"])
    assert len(text) == 600
    assert text.startswith("out of memory; last lines: ...aaa")
    assert text.endswith("aaa | the end")
    assert told("x" * 700, ["the end"]) == "x" * 597 + "..."


@pytest.mark.parametrize("log", [None, "text", [], [""], {"a": 1}, 5], ids=repr)
def test_a_log_of_another_shape_is_left_out(log: Any) -> None:
    assert told("out of memory", log) == "out of memory"


def test_an_image_that_cannot_be_pulled_has_one_text_in_both_of_the_kubelets_states() -> None:
    first = cause_of(pod(NAME, 0, 0, ready=False, **waiting("ErrImagePull", "rpc error: 1")))
    second = cause_of(pod(NAME, 0, 0, ready=False, **waiting("ImagePullBackOff", "Back-off pulling")))
    assert first == second


def test_a_pod_without_a_status_is_being_started() -> None:
    bare = pod(NAME, 0, 0)
    del bare["status"]
    cause = cause_of(bare)
    assert cause is not None
    assert cause.stage == Stage.STARTING


def ready(pods: list[Obj], **kwargs: Any) -> list[bool]:
    return [group.ready for group in groups_of(NAME, pods, **{"replicas": 1, "size": 2, "now": 0, **kwargs})]


def test_a_group_is_ready_with_its_leader_and_all_its_pods() -> None:
    assert ready([pod(NAME, 0, 0), pod(NAME, 0, 1)]) == [True]


def test_a_group_is_not_ready_without_a_worker_or_without_a_leader() -> None:
    assert ready([pod(NAME, 0, 0)]) == [False]
    assert ready([pod(NAME, 0, 1)]) == [False]
    assert ready([]) == [False]


def test_a_group_whose_pods_all_serve_is_ready_with_all_of_them() -> None:
    leader, worker = pod(NAME, 0, 0), pod(NAME, 0, 1, ready=False)
    assert ready([leader, worker]) == [True], "a worker without HTTP: the leader speaks for it"
    worker["metadata"]["labels"]["trireme.dev/rotation"] = "in"
    assert ready([leader, worker]) == [False]
    worker["status"]["conditions"][0]["status"] = "True"
    assert ready([leader, worker]) == [True]


def test_a_pod_that_ends_makes_its_group_unready() -> None:
    ending = pod(NAME, 0, 1)
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert ready([pod(NAME, 0, 0), ending]) == [False]


def test_groups_beyond_those_asked_for_do_not_count() -> None:
    assert ready([pod(NAME, 5, 0), pod(NAME, 5, 1)], replicas=1) == [False]


def test_pods_of_other_sets_and_without_an_index_do_not_count() -> None:
    strange = pod(NAME, 0, 0)
    strange["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/group-index"] = "none"
    assert ready([pod("other", 0, 0), pod("other", 0, 1), strange]) == [False]


def test_the_leaders_own_size_counts_while_it_changes() -> None:
    assert ready([pod(NAME, 0, 0), pod(NAME, 0, 1)], size=4) == [True]


def test_the_group_tells_its_workers_serious_cause() -> None:
    pods = [pod(NAME, 0, 0, ready=False), pod(NAME, 0, 1, ready=False, **waiting("ErrImagePull"))]
    (group,) = groups_of(NAME, pods, replicas=1, size=2, now=0)
    assert group.cause is not None
    assert group.cause.reason == "ImageNotFound"


def test_an_image_that_is_mounted_is_named_beside_the_containers_own() -> None:
    """The kubelet reports either as ErrImagePull of the container (v1.36, kuberuntime_manager.go, SyncPod)."""
    found = pod(NAME, 0, 0, ready=False, **waiting("ImagePullBackOff"))
    found["spec"] = {
        "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "image": {"reference": "models/llama:1"}}]
    }
    cause = cause_of(found)
    assert cause is not None
    assert "'nowhere/x:1' of container engine, or the image 'models/llama:1' that it mounts, can't be" in cause.message
