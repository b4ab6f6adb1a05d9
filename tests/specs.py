"""Documents of every kind for property tests: good ones, ones at the edges of the rules, and odd ones.

A document is made by ``random`` from a seed, and hypothesis chooses the seeds: its own strategies for nested objects
of this size take a hundred times as long.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Document = dict[str, Any]
Maker = Callable[[random.Random], Any]
"""Makes one value of a field."""

ODD = [None, True, False, 0, -1, 3.5, 1e30, 2**31, 2**63, -(2**70), "", "7", "null", [], {}, ["x"], {"a": None}, [None]]
SHORT_TEXTS = ["a", "zone-a", "Zone_B.1", "-a", "a-", "ü", "a\n", "x" * 63, "x" * 64, "a" * 254, "a b"]
FLAGS = [
    "--async-scheduling",
    "--enforce-eager",
    "--no-trust",
    "--tensor-parallel-size=2",
    "--tensor_parallel_size",
    "--mod",
    "--model.x",
    "--dtype",
    "--hea",
    "--headless=1",
    "--he",
    "-tp",
    "-t2",
    "-n",
    "-q",
    "-qfp8",
    "-O3",
    "-dpx",
    "-",
    "--",
    "8",
    "'",
    "a=b",
    "--port\n",
    "--ünï",
    "x" * 2049,
    "\x85--port",
    "",
]
SOURCES = [
    "pvc://",
    "pvc://C/m",
    "pvc://c/../m",
    "pvc://c//m/",
    "s3://bucket",
    "s3://bucket/./m",
    "s3://bucket/\u00e9",
    "gs://b",
    "gs://bucket_x/m\n",
    "oci://a:b:c",
    "oci://a/B",
    "oci://a//..",
    "oci://a@sha256:" + "0" * 63,
    "oci://a@sha256:" + "0" * 64,
]
QUANTITIES = [
    0,
    1,
    8,
    -5,
    "8",
    "500m",
    "0.5",
    "1Gi",
    "1024Mi",
    "1073741824",
    "1G",
    "16Gi",
    "0.1234567891",
    "1e3",
    "-1",
    "Gi",
    "1E",
    "9" * 33,
]


def one(values: list[Any]) -> Maker:
    """One of the values."""
    return lambda chance: copy.deepcopy(chance.choice(values))


_ODD = one(ODD)


def mostly(good: Maker, odd: Maker = _ODD, *, of: int = 60) -> Maker:
    """A good value, and once in a while (1 of ``of``) an odd one."""
    return lambda chance: (odd if chance.randrange(of) == 0 else good)(chance)


def pick(good: list[Any], edge: list[Any]) -> Maker:
    """A good value most of the time, else one at or beyond an edge of the rules, seldom an odd one."""
    return mostly(mostly(one(good), one(edge), of=8))


def fields(required: dict[str, Maker], **optional: Maker) -> Maker:
    """An object; now and then without a field it needs, or with one that nobody knows."""

    def make(chance: random.Random) -> Document:
        made = {name: value(chance) for name, value in required.items() if chance.randrange(80)}
        made |= {name: value(chance) for name, value in optional.items() if chance.randrange(2)}
        return made | ({} if chance.randrange(100) else {chance.choice(["tensr", "x-y"]): 1})

    return mostly(make)


def some(required: dict[str, Maker], **optional: Maker) -> Maker:
    """An object with at most three of its optional fields: with all of them, hardly one would be good as a whole."""

    def make(chance: random.Random) -> Document:
        chosen = chance.sample(sorted(optional), k=min(len(optional), chance.randrange(4)))
        return {name: value(chance) for name, value in {**required, **{n: optional[n] for n in chosen}}.items()}

    return mostly(make)


def seldom(make: Maker) -> Maker:
    """Null, which is as if the field were absent, most of the time."""
    return lambda chance: make(chance) if chance.randrange(6) == 0 else None


def lists(item: Maker, *, least: int = 0) -> Maker:
    """A short list, seldom one that is empty or longer than any of ours may be."""
    short: Maker = lambda chance: [item(chance) for _ in range(chance.randrange(least, least + 3))]  # noqa: E731
    long: Maker = lambda chance: [item(chance) for _ in range(chance.choice([0, 16, 17, 65]))]  # noqa: E731
    return mostly(mostly(short, long, of=30))


_COMPUTE = fields({}, cpu=pick(QUANTITIES[:3], QUANTITIES), memory=pick(QUANTITIES[7:12], QUANTITIES))
_CREDENTIAL = fields(
    {
        "name": pick(["A", "_b1", "HF_TOKEN"], ["HOME", "TRIREME_X", "LWS_", "1A", "A-B", "", "A" * 129, "A\n"]),
        "secret": pick(["s", "s.t"], SHORT_TEXTS),
        "key": pick(["k", "a.b_C-1"], ["", "a/b", "k" * 254, "k\n"]),
    },
    type=pick(["Env", "File"], ["env", ""]),
)
_MODEL = fields(
    {
        "source": pick(
            ["hf://a/b", "hf://a/b@main", "/models/m", "pvc://c/m", "s3://bucket/m", "gs://bucket/m", "oci://a/b:1//m"],
            ["/", "hf://a", "hf:///b", "s3://x/y", "/m m", "/a\n", "x" * 513, "hf://a/b@", "/\u00e9", "x", *SOURCES],
        )
    },
    servedName=pick(["m", "a/b:1"], ["-m", "a name", "", "m" * 254, "m\n"]),
    credentials=mostly(lists(_CREDENTIAL), one([[]]), of=4),
    cache=seldom(
        fields(
            {},
            persistentVolumeClaim=pick(["cache"], SHORT_TEXTS),
            emptyDir=seldom(fields({"sizeLimit": pick(QUANTITIES[:3], QUANTITIES)})),
        )
    ),
    s3=seldom(
        fields(
            {},
            endpoint=pick(["http://a", "https://a.b:1/c"], ["", "a", "http://", "http://a b", "http://a\n", "x" * 513]),
            region=pick(["eu-central-1"], ["", "a_b", "x" * 64, "\u00e9"]),
        )
    ),
    config=seldom(
        fields(
            {"configMap": pick(["m", "m.json"], ["M", "", "m" * 254, "m\n"])},
            key=pick(["config.json", "a_b"], ["a/b", "", "k" * 254]),
        )
    ),
)
_ENGINE = fields(
    {},
    image=pick(["vllm/vllm:1", "x" * 512], ["", "x" * 513]),
    imagePullPolicy=pick(["Always", "IfNotPresent", "Never"], ["always", ""]),
    config=fields(
        {},
        maxModelLen=pick([1, 512, 10**8], [0, 10**8 + 1]),
        gpuMemoryPercent=pick([1, 90, 100], [0, 101]),
        maxNumSeqs=pick([1, 10**6], [10**6 + 1]),
        maxNumBatchedTokens=pick([10**6, 10**8], [0, 1, 2047, 2048, 256, 255]),
        dtype=pick(["auto", "bfloat16", "float16", "float32"], ["half", ""]),
        quantization=pick(["fp8", "compressed-tensors"], ["", "FP8", "-x", "x" * 65, "a\n"]),
        kvCacheDtype=pick(["auto", "fp8_e4m3"], ["", "fp8-x", "x" * 65]),
        enablePrefixCaching=pick([True, False], ["true", 1]),
        enforceEager=pick([True, False], [0]),
        trustRemoteCode=pick([True, False], ["no"]),
    ),
    profile=pick([None, "production", "memory-constrained", "development"], ["Production", ""]),
    extraArgs=lists(pick(["--async-scheduling", "--tokenizer", "8", "-O3", "a=b"], FLAGS)),
)
_ZONE = fields(
    {"name": pick(list("abcdefgh"), SHORT_TEXTS)},
    replicas=pick([0, 1, 2, 1000], [1001, -1]),
    weight=pick([0, 1, 60, 1000], [0, -1, 1001]),
    state=pick(["Active", "Disabled"], ["active", "Draining", ""]),
)
_SCALED_ZONE = fields(
    {"name": pick(list("abcdefgh"), SHORT_TEXTS)},
    replicas=pick([2, 3], [0, 1, 4, 9]),
    minReplicas=pick([1, 2], [0, 3, 4, 1001]),
    maxReplicas=pick([3, 4], [1, 2, 0, 1000]),
    weight=pick([1, 60], [0]),
    state=one(["Active", "Disabled"]),
)
_SCALING_RULES = fields(
    {},
    stabilizationWindowSeconds=pick([0, 300], [-1, 3600, 3601]),
    policies=lists(
        fields(
            {
                "type": pick(["Groups", "Percent"], ["Pods", ""]),
                "value": pick([1, 100], [0, 10_000, 10_001]),
                "periodSeconds": pick([1, 60], [0, 1800, 1801]),
            }
        ),
        least=1,
    ),
    selectPolicy=pick(["Max", "Min"], ["Disabled", "max"]),
    tolerancePercent=pick([None, 0, 5], [-1, 101]),
)
_SELECTOR = fields(
    {},
    matchLabels=mostly(one([{"a": "b"}, {"a/b": ""}, {}]), one([{"a": "-"}, {"a": None}, {"a": 1}, {"": "b"}]), of=4),
    matchExpressions=lists(
        fields(
            {
                "key": pick(["a", "a.b/c"], ["", "/a", "a/b/c", "\u00e9", "x" * 318]),
                "operator": pick(["In", "NotIn", "Exists", "DoesNotExist"], ["in", ""]),
            },
            values=lists(pick(["a", ""], SHORT_TEXTS)),
        )
    ),
)
_SERIES = fields({"matchLabels": pick([{"a": "b"}, {"a/b": ""}], [{"a": "-"}, {"a": None}, {"a": 1}])})
_METRIC = fields({"name": pick(["m", "queue.length"], ["", ".m", "a/b", "%", "x" * 254])}, selector=_SERIES)
_AMOUNT = pick(["1", 20, "500m", "1k"], ["0", 0, "0m", "-1", "x"])
_VALUE = mostly(
    lambda chance: chance.choice([fields({"value": _AMOUNT}), fields({"averageValue": _AMOUNT})])(chance),
    fields({}, value=_AMOUNT, averageValue=_AMOUNT),
    of=8,
)
_DESCRIBED = fields({"apiVersion": pick(["v1"], [""]), "kind": pick(["Service"], [""]), "name": pick(["s"], ["a/b"])})
_BLOCKS: dict[str, Maker] = {
    "Pods": fields({"metric": _METRIC, "target": fields({"averageValue": _AMOUNT})}),
    "Object": fields({"describedObject": _DESCRIBED, "metric": _METRIC, "target": _VALUE}),
    "External": fields({"metric": _METRIC, "target": _VALUE}),
    "Resource": fields(
        {
            "name": pick(["cpu", "memory"], ["gpu"]),
            "target": fields(
                {}, averageUtilization=pick([70], [0, 1001]), averageValue=mostly(one([None]), _AMOUNT, of=4)
            ),
        },
        container=pick(["engine", "sidecar"], ["E", ""]),
    ),
}


def _custom_metric(chance: random.Random) -> Any:
    kind = chance.choice(list(_BLOCKS))
    block = kind if chance.randrange(20) else chance.choice(list(_BLOCKS))
    return {"type": kind, block.lower(): _BLOCKS[block](chance)}


_AUTOSCALING = fields(
    {"maxReplicas": pick([4, 5], [1, 2, 0, 1001])},
    metrics=fields(
        {},
        queueLength=pick([1, 10], [0, 1_000_001]),
        cpu=pick([70], [0, 1, 1000, 1001]),
        memory=pick([80], [0, 1001]),
    ),
    customMetrics=mostly(one([None]), lists(_custom_metric, least=1), of=4),
    source=pick([None, "Auto"], ["Builtin", "PrometheusAdapter", "KEDA", "auto"]),
    keda=mostly(
        one([None]),
        fields(
            {"serverAddress": pick(["http://a:9090/x"], ["a:9090", "http://", "http://a b"])}, authentication=one(["p"])
        ),
        of=4,
    ),
    surviveZoneLoss=pick([None, False], [True]),
    minReplicas=pick([1, 2], [0, 3, 5, 1001]),
    behavior=fields({}, scaleUp=_SCALING_RULES, scaleDown=_SCALING_RULES),
)
_ANNOTATION = fields(
    {"name": pick(["a", "a/b", "A_b.c"], ["trireme.dev/x", "/a", "a/", "example.com/" + "x" * 64, "", "\u00e9"])},
    value=pick(["", "x"], [*SHORT_TEXTS, "x" * 1025]),
)
_PARENT = fields(
    {"name": pick(["g", "g.h"], ["G", "-", ""])},
    namespace=pick(["a", "zone-a"], SHORT_TEXTS),
    sectionName=pick(["a", "zone-a"], SHORT_TEXTS),
    port=pick([1, 80, 65535], [0, 65536]),
)
_GATEWAY = fields(
    {"parentRefs": lists(_PARENT, least=1)},
    hostnames=lists(
        pick(["a.example.com", "*.example.com"], ["10.0.0.1", "a..b", "A.com", "-a", "a:80", "*", "\u00fc.de", ""])
    ),
    paths=lists(
        pick(
            ["/v1", "/", "/it's", "/a%20"], ["v1", "/a//b", "/a/../b", "/a/.", "/..", "/a%2Fb", "/a b", "/%", "/\u00e9"]
        ),
        least=1,
    ),
)
_PEERS = lists(
    fields(
        {},
        podSelector=_SELECTOR,
        namespaceSelector=_SELECTOR,
        ipBlock=fields(
            {"cidr": pick(["10.0.0.0/8", "2001:db8::/32"], ["10.0.0.1/8", "", "x" * 50])},
            **{"except": lists(pick(["10.1.0.0/16"], ["10.0.0.0/8", "", "x" * 50]))},
        ),
    )
)
_SERVICE = fields(
    {},
    type=pick(["ClusterIP", "NodePort", "LoadBalancer", "LoadBalancer"], ["ExternalName", ""]),
    profile=pick(["aws-nlb", "gke-internal", "aks-internal"], ["aws", ""]),
    annotations=lists(_ANNOTATION),
    trafficDistribution=pick(["PreferSameZone", "PreferSameNode", "PreferClose"], ["Close", ""]),
    sessionAffinity=pick(["None", "ClientIP"], ["clientIP", ""]),
    sessionAffinitySeconds=pick([1, 86400], [0, 86401]),
    externalTrafficPolicy=pick(["Cluster", "Local"], ["local", ""]),
    loadBalancerClass=pick(["a", "a.b/c"], ["", "/a", "\u00e9", "x" * 318]),
    loadBalancerSourceRanges=lists(pick(["10.0.0.0/8"], ["10.0.0.1/8", "", "x" * 50])),
)
_COMMON: dict[str, Maker] = {
    "networkPolicy": fields({"from": _PEERS}, monitoring=_PEERS),
    "engine": _ENGINE,
    "parallelism": fields(
        {},
        tensor=pick([1, 2, 4, 8, 128], [3, 0, 129]),
        pipeline=pick([1, 2, 4], [3, 128, 129]),
        data=pick([1, 2, 4, 512], [3, 0, 513]),
        expert=pick([False], [True]),
        loadBalancing=pick([None], ["Internal", "Hybrid", "External", "internal"]),
    ),
    "accelerator": fields(
        {},
        resource=pick(["cpu", "nvidia.com/gpu"], ["gpu", "a/b", "a/b\n", "A/b", ""]),
        perPod=pick([1], [2, 3, 4, 6, 8, 16, 64, 65]),
        memory=mostly(one([None]), pick(["80Gi", 8], QUANTITIES), of=3),
    ),
    "resources": fields({}, requests=_COMPUTE, limits=_COMPUTE, sharedMemory=pick(["1Gi", 8], QUANTITIES)),
    "service": _SERVICE,
    "scheduling": fields(
        {"topologyKey": pick(["a", "a.b/c"], ["", "/a", "\u00e9"])}, exclusive=pick([True, False], ["true"])
    ),
    "health": fields(
        {},
        memberSilentSeconds=pick([2, 3, 20], [1, 30, 601]),
        memberLostSeconds=pick([30, 60, 86400], [3, 2, 86401]),
        stallSeconds=pick([10, 86400], [9, 86401]),
        canary=fields({}, mode=pick(["Enabled"], ["Disabled", "On", ""]), maxTokens=pick([1, 64], [0, 65])),
    ),
    "monitoring": fields(
        {},
        podMonitor=pick(["Auto", "Always", "Never"], ["On", ""]),
        podMonitorLabels=lists(
            fields(
                {"name": pick(["a", "a.b/c"], ["trireme.dev/x", "app.kubernetes.io/managed-by", "", "/a", "\u00e9"])},
                value=pick(["", "b"], SHORT_TEXTS),
            )
        ),
    ),
    "gateway": _GATEWAY,
    "podTemplate": fields({}, metadata=one([{"labels": {"a": "b"}}]), spec=one([{"x": None}, {}])),
}
_REPLICAS = pick([None, 0, 1, 1000], [1001, -1])
_ZONES = mostly(lists(_ZONE, least=1), one([None, []]), of=20)
_REQUESTED = fields({"requests": fields({"cpu": pick(["1"], ["0", "0m"]), "memory": pick(["1Gi"], [0, "0Gi"])})})
_LIMITED = fields({"limits": fields({"cpu": pick(["1"], [0]), "memory": pick(["1Gi"], ["0"])})})
_SCALED: dict[str, Maker] = {
    "autoscaling": _AUTOSCALING,
    "resources": lambda chance: chance.choice([_REQUESTED, _REQUESTED, _LIMITED, _COMMON["resources"]])(chance),
}
_SCALED_ZONES = mostly(lists(_SCALED_ZONE, least=1), _ZONES, of=10)
_SPECS = (
    some({"model": _MODEL}, **_COMMON, replicas=_REPLICAS),
    some({"model": _MODEL}, **_COMMON, zones=_ZONES),
    some({"model": _MODEL}, **_COMMON, replicas=_REPLICAS, zones=_ZONES),
    some({"model": _MODEL, **_SCALED, "zones": _SCALED_ZONES}, gateway=_GATEWAY),
    some({"model": _MODEL, **_SCALED}, replicas=pick([2, 3], [0, 1, 6]), engine=_ENGINE),
    some({"model": _MODEL}, zones=_SCALED_ZONES),
)
_NAMES = pick(["llm", "x" * 40], ["x" * 41, "llm-http", "a.b", "1a", "-a", "A", "a" * 254, "", "\u00fc"])
_LABELS = mostly(one([{"a": "b"}, {}]), one([{"a/b/c": "x"}, {"a": "-"}, {"": ""}, {"a": None}]), of=10)


def document(seed: int) -> Document:
    """The document of a seed; about every third one is good."""
    chance = random.Random(seed)  # noqa: S311  (no secret)
    metadata = {"name": _NAMES(chance)}
    for name, make in (("labels", _LABELS), ("annotations", _LABELS), ("names", one([1]))):
        if chance.randrange(20 if name != "names" else 100) == 0:
            metadata[name] = make(chance)
    spec = _SPECS[chance.choice([0, 0, 0, 1, 1, 1, 2, 3, 3, 4, 5])](chance)
    status: Document = {"status": {}} if chance.randrange(10) == 0 else {}
    return {
        "apiVersion": "trireme.dev/v1alpha1",
        "kind": "InferenceCluster",
        "metadata": metadata,
        "spec": spec,
        **status,
    }


def documents() -> st.SearchStrategy[Document]:
    """Whole documents of the right kind and version."""
    return st.integers(0, 2**63 - 1).map(document)
