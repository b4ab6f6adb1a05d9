"""The engine's command line in each pod."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.double import flags
from tests.unit.pod_environment import POD, VARIABLES
from trireme_runtime import command, environment, limits, ranks
from trireme_runtime.environment import ContractError, Environment

BASE = ("vllm", "serve", "/models/m", "--served-model-name", "m", "--port", "8000", "--max-model-len", "8192")
LIMITS = limits.of_grace(grace_seconds=120, settle_seconds=5)


def test_the_leader_of_two_pods_listens_on_its_own_address() -> None:
    want = (
        "--tensor-parallel-size 8 --pipeline-parallel-size 2 --nnodes 2 --node-rank 0 --master-addr 10.1.2.3 "
        "--master-port 29501 --distributed-executor-backend mp --distributed-timeout-seconds 1800 "
        "--disable-access-log-for-endpoints /health,/metrics --shutdown-timeout 10"
    )
    assert command.engine_command(BASE, POD, LIMITS) == [*BASE, *want.split()]


def test_a_worker_finds_the_leader_by_name_and_serves_no_http() -> None:
    worker = replace(POD, worker_index=1, pod_ip="10.1.2.4")
    want = (
        "--tensor-parallel-size 8 --pipeline-parallel-size 2 --nnodes 2 --node-rank 1 "
        "--master-addr m-zone-a-0.m-zone-a.ns --master-port 29501 --distributed-executor-backend mp "
        "--distributed-timeout-seconds 1800 --headless --shutdown-timeout 10"
    )
    assert command.engine_command(BASE, worker, LIMITS) == [*BASE, *want.split()]


def test_a_group_of_one_pod_has_no_nodes() -> None:
    alone = replace(POD, group_size=1, pipeline_parallel_size=1)
    want = "--tensor-parallel-size 8 --pipeline-parallel-size 1 --shutdown-timeout 10"
    quiet = ("--disable_access_log_for_endpoints=/load",)
    assert command.engine_command((*BASE, *quiet), alone, LIMITS) == [*BASE, *quiet, *want.split()]


DATA = {"LWS_GROUP_SIZE": "2", "TRIREME_TENSOR_PARALLEL_SIZE": "2", "TRIREME_DATA_PARALLEL_PORT": "29550"}
ONE_EACH = DATA | {
    "TRIREME_PIPELINE_PARALLEL_SIZE": "1",
    "TRIREME_DATA_PARALLEL_SIZE": "2",
    "TRIREME_RANKS_PER_POD": "2",
}
TWO_EACH = ONE_EACH | {"TRIREME_DATA_PARALLEL_SIZE": "4", "TRIREME_RANKS_PER_POD": "4"}
OVER_PODS = ONE_EACH | {"LWS_GROUP_SIZE": "4", "TRIREME_RANKS_PER_POD": "1", "TRIREME_EXPERT_PARALLEL": "true"}
SIZES = "--tensor-parallel-size 2 --pipeline-parallel-size 1"
LEADER, NAME = "10.1.2.3", "m-zone-a-0.m-zone-a.ns"
PORT, TIMES = "--data-parallel-rpc-port 29550", "--distributed-timeout-seconds 1800"
QUIET = "--disable-access-log-for-endpoints /health,/metrics"


def balanced(by: str, shape: dict[str, str]) -> dict[str, str]:
    return shape | {"TRIREME_DATA_PARALLEL_BALANCING": by}


@pytest.mark.parametrize(
    ("variables", "index", "want"),
    [
        pytest.param(
            ONE_EACH,
            0,
            f"{SIZES} --data-parallel-size 2 --data-parallel-address {LEADER} {PORT} --data-parallel-size-local 1"
            f" {TIMES} {QUIET}",
            id="internal, leader",
        ),
        pytest.param(
            ONE_EACH,
            1,
            f"{SIZES} --data-parallel-size 2 --data-parallel-address {NAME} {PORT} --data-parallel-size-local 1"
            f" --data-parallel-start-rank 1 {TIMES} --headless",
            id="internal, worker",
        ),
        pytest.param(
            balanced("Hybrid", TWO_EACH),
            0,
            f"{SIZES} --data-parallel-size 4 --data-parallel-address {LEADER} {PORT} --data-parallel-size-local 2"
            f" --data-parallel-start-rank 0 --data-parallel-hybrid-lb {TIMES} {QUIET}",
            id="hybrid, leader",
        ),
        pytest.param(
            balanced("Hybrid", TWO_EACH),
            1,
            f"{SIZES} --data-parallel-size 4 --data-parallel-address {NAME} {PORT} --data-parallel-size-local 2"
            f" --data-parallel-start-rank 2 --data-parallel-hybrid-lb {TIMES} {QUIET}",
            id="hybrid, worker",
        ),
        pytest.param(
            balanced("External", ONE_EACH),
            1,
            f"{SIZES} --data-parallel-size 2 --data-parallel-address {NAME} {PORT} --data-parallel-rank 1"
            f" {TIMES} {QUIET}",
            id="external, worker",
        ),
        pytest.param(
            OVER_PODS,
            3,
            f"{SIZES} --enable-expert-parallel --data-parallel-size 2 --data-parallel-address {NAME} {PORT}"
            f" --nnodes 4 --node-rank 3 --master-addr {NAME} --master-port 29501 --distributed-executor-backend mp"
            f" {TIMES} --headless",
            id="replicas over pods, experts, worker",
        ),
        pytest.param(
            TWO_EACH | {"LWS_GROUP_SIZE": "1", "TRIREME_RANKS_PER_POD": "8"},
            0,
            f"{SIZES} --data-parallel-size 4 {QUIET}",
            id="all replicas in one pod",
        ),
    ],
)
def test_replicas_are_wired_as_the_engine_wants_it(variables: dict[str, str], index: int, want: str) -> None:
    pod = environment.parse({**VARIABLES, **variables, "LWS_WORKER_INDEX": str(index)})
    argv = command.engine_command(BASE, pod, LIMITS)
    assert argv == [*BASE, *want.split(), "--shutdown-timeout", "10"]
    settings = flags.parse(argv[1:])
    assert (settings.nnodes, settings.node_rank) == (pod.group_size, index)


def test_a_pod_that_serves_must_hold_whole_replicas() -> None:
    variables = {**VARIABLES, **balanced("External", OVER_PODS)}
    with pytest.raises(ContractError, match="External load balancing wants whole replicas of 2 ranks in each pod"):
        environment.parse(variables)


@pytest.mark.parametrize("index", [0, 1])
def test_vllms_flags_are_read_as_they_were_meant(index: int) -> None:
    """The double's parser has the real parser's flags, spellings and types (tests/double/flags-*.json)."""
    argv = command.engine_command(BASE, replace(POD, worker_index=index), LIMITS)
    settings = flags.parse(argv[1:])
    assert (settings.nnodes, settings.node_rank, settings.headless) == (2, index, index > 0)
    assert (settings.tensor_parallel_size, settings.pipeline_parallel_size) == (8, 2)
    assert (settings.master_port, settings.shutdown_timeout_seconds) == (29501, 10)


def test_an_empty_command_is_refused_with_the_way_out() -> None:
    with pytest.raises(ContractError, match="expected it as the launcher's arguments"):
        command.engine_command((), POD, LIMITS)


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        pytest.param("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", "120", id="of a step"),
        pytest.param("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "3700", id="of an idle connection, longer than Envoy keeps one"),
    ],
)
def test_the_users_time_limits_win_over_the_launchers(name: str, chosen: str) -> None:
    assert command.engine_environment({})[name] == chosen
    found = command.engine_environment({name: "600", "A": "b"})
    assert (found[name], found["A"]) == ("600", "b")


@pytest.mark.parametrize(
    ("words", "want"),
    [
        pytest.param("--api-key a b --port 1", "--api-key *** *** --port 1", id="several keys"),
        pytest.param("--api_key=a --port 1", "--api_key=*** --port 1", id="underscore and equals sign"),
        pytest.param("--hf-token t", "--hf-token ***", id="token of the hub"),
        pytest.param("--api-ke S1 --port 1", "--api-ke *** --port 1", id="prefix"),
        pytest.param("--hf-tok=S2 -tp 2", "--hf-tok=*** -tp 2", id="prefix and equals sign"),
        pytest.param("--a S1 --hf_t S2", "--a *** --hf_t ***", id="prefixes that vLLM refuses"),
        pytest.param("--api-keys S1 --api-key.a S2", "--api-keys *** --api-key.a ***", id="longer names"),
        pytest.param("--api-key -S1 -tp 2", "--api-key *** -tp 2", id="value that begins with a dash"),
        pytest.param("--hf-overrides {} --api-server-count 1", "--hf-overrides {} --api-server-count 1", id="cousins"),
        pytest.param("serve --port=8000 -- x", "serve --port=8000 -- x", id="nothing secret"),
    ],
)
def test_secrets_are_not_shown(words: str, want: str) -> None:
    assert command.without_secrets(words.split()) == want.split()


def test_ranks_are_pipeline_outside_and_tensor_inside() -> None:
    sizes = {"ranks_per_pod": 2, "tensor_parallel_size": 4, "pipeline_parallel_size": 2}
    second_pod = ranks.of_pod(node_rank=1, **sizes)
    want = [
        {"global": 2, "local": 0, "data": 0, "pipeline": 0, "tensor": 2},
        {"global": 3, "local": 1, "data": 0, "pipeline": 0, "tensor": 3},
    ]
    assert [rank.as_json() for rank in second_pod] == want
    assert [rank.pipeline for rank in ranks.of_pod(node_rank=2, **sizes)] == [1, 1]
    assert [(rank.data, rank.pipeline) for rank in ranks.of_pod(node_rank=4, **sizes)] == [(1, 0), (1, 0)]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        pytest.param("TRIREME_CONTRACT", "2", "TRIREME_CONTRACT is '2'.*same release", id="another contract"),
        pytest.param("TRIREME_CONTRACT", None, "TRIREME_CONTRACT is missing", id="no contract"),
        pytest.param("LWS_GROUP_SIZE", "two", "LWS_GROUP_SIZE is 'two'; expected a whole number from 1", id="a word"),
        pytest.param("LWS_GROUP_SIZE", "0", "LWS_GROUP_SIZE is '0'", id="no pods"),
        pytest.param(
            "LWS_WORKER_INDEX", "2", "expected less than LWS_GROUP_SIZE, which is 2", id="index beyond the group"
        ),
        pytest.param("LWS_LEADER_ADDRESS", None, "missing; .* set by LeaderWorkerSet", id="not in a group"),
        pytest.param("TRIREME_POD_IP", "", "TRIREME_POD_IP is empty; .* set by the operator", id="no address yet"),
        pytest.param("TRIREME_ENGINE_PORT", "70000", "expected a whole number from 1 to 65535", id="port too high"),
        pytest.param("TRIREME_ENGINE_PORT", "٨", "expected a whole number", id="digits of another script"),
        pytest.param("TRIREME_DATA_PARALLEL_SIZE", "0", "TRIREME_DATA_PARALLEL_SIZE is '0'", id="no replica"),
        pytest.param("TRIREME_DATA_PARALLEL_BALANCING", "internal", "Internal or Hybrid or External", id="balancing"),
        pytest.param("TRIREME_EXPERT_PARALLEL", "1", "'1'; expected false or true", id="expert parallel"),
        pytest.param("TRIREME_RANKS_PER_POD", "4", r"4 x 2 = 8; expected .* = 16", id="sizes that do not match"),
    ],
)
def test_a_broken_environment_is_named(name: str, value: str | None, message: str) -> None:
    variables = {key: text for key, text in VARIABLES.items() if key != name}
    if value is not None:
        variables[name] = value
    with pytest.raises(ContractError, match=message):
        environment.parse(variables)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ContractError, match=r"LWS_GROUP_SIZE.*TRIREME_POD_IP|TRIREME_POD_IP.*LWS_GROUP_SIZE"):
        environment.parse({**VARIABLES, "LWS_GROUP_SIZE": "x", "TRIREME_POD_IP": ""})


def test_an_empty_zone_is_no_zone() -> None:
    pod: Environment = environment.parse(VARIABLES)
    assert pod.zone == ""
    assert pod.role == "leader"
    assert pod.termination_log == "/dev/termination-log"
