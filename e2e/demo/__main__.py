"""``make demo``: bring everything up, ask a real model a question, say which zone answered."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import quote

from rich.table import Table

from e2e import api, reach, stack
from e2e.api import Api, Obj
from e2e.cluster import Cluster, choose
from e2e.demo import ask, watch
from e2e.ending import explained
from e2e.progress import console, step

NAMESPACE = "demo"
NAME = "smollm2"
GATEWAY = "inference"
ENGINE_PORT = 8000
QUESTION = "What is the capital of France?"

MANIFESTS = Path(__file__).resolve().parent / "manifests"
_SAMPLES = stack.REPOSITORY / "samples"


def main() -> None:
    started = time.monotonic()
    cluster = choose()
    console.print(f"[bold]Trireme demo[/] on the cluster [bold]{cluster.name}[/]")
    stack.up(cluster)
    apply(cluster)
    with api.connect(cluster) as connection:
        console.print(
            f"Waiting for InferenceCluster [bold]{NAMESPACE}/{NAME}[/] (loading the model takes a minute or two)"
        )
        watch.until_ready(connection, NAMESPACE, NAME)
        address = gateway_service(connection)
        question(cluster, connection, address)
        summary(connection, cluster)
    console.print(f"Done in {time.monotonic() - started:.0f} s.")


def apply(cluster: Cluster) -> None:
    """The Gateway of the platform team, and the one resource of the user."""
    with step(f"apply the Gateway and samples/{NAME}-pp2.yaml"):
        stack.namespace(cluster, NAMESPACE)
        for manifest in (MANIFESTS / "gateway.yaml", _SAMPLES / f"{NAME}-pp2.yaml"):
            cluster.kubectl("apply", "--server-side", "--namespace", NAMESPACE, "-f", str(manifest))


def gateway_service(connection: Api, namespace: str = NAMESPACE) -> Obj:
    """The Service that Envoy Gateway made for our Gateway (it appears some seconds after it)."""
    owner = "gateway.envoyproxy.io/owning-gateway"
    labels = quote(f"{owner}-name={GATEWAY},{owner}-namespace={namespace}")
    path = f"/api/v1/services?labelSelector={labels}"
    return api.wait_until(lambda: connection.items(path), timeout_seconds=60, what="the gateway's Service")[0]


def question(cluster: Cluster, connection: Api, service: Obj) -> None:
    """Ask through the gateway and say which zone answered: the one whose leaders counted one request more."""
    resource = connection.get(f"{watch.RESOURCES}/namespaces/{NAMESPACE}/inferenceclusters/{NAME}")
    route = connection.get(f"/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/httproutes/{NAME}")
    host = (route["spec"].get("hostnames") or ["localhost"])[0]
    before = requests_by_zone(connection)
    console.print(f"\n[bold]You:[/] {QUESTION}\n[bold]{NAME}:[/] ", end="")
    target = f"service/{service['metadata']['name']}"
    with reach.forward(cluster, namespace=service["metadata"]["namespace"], target=target, port=80) as url:
        ask.stream(url, host, NAME, QUESTION)
    after = requests_by_zone(connection)
    answered = [zone for zone, count in after.items() if count > before.get(zone, 0)]
    console.print(
        f"Answered by {', '.join(answered) or 'no zone that counts requests'} through {resource['status']['url']}\n"
    )


def requests_by_zone(connection: Api) -> dict[str, float]:
    """Finished requests as the leaders' engines count them, per zone."""
    pods = connection.items(
        f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=trireme.dev/cluster%3D{NAME}%2Ctrireme.dev/role%3Dleader"
    )
    counts: dict[str, float] = {}
    for pod in pods:
        zone = pod["metadata"]["labels"]["trireme.dev/zone"]
        text = connection.pod_text(NAMESPACE, pod["metadata"]["name"], ENGINE_PORT, "/metrics")
        counts[zone] = counts.get(zone, 0) + finished_requests(text)
    return counts


def finished_requests(metrics: str) -> float:
    """The sum of ``vllm:request_success_total`` in an engine's metrics."""
    lines = (line for line in metrics.splitlines() if line.startswith("vllm:request_success_total"))
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def summary(connection: Api, cluster: Cluster) -> None:
    resource = connection.get(f"{watch.RESOURCES}/namespaces/{NAMESPACE}/inferenceclusters/{NAME}")
    table = Table(
        "zone", "groups", "ready", "weight", "why", title=f"status of {NAMESPACE}/{NAME}", title_justify="left"
    )
    for zone in resource["status"]["zones"]:
        cells = (zone["name"], zone["groups"], zone["readyGroups"], zone["weight"], zone["weightReason"])
        table.add_row(*(str(cell) for cell in cells))
    console.print(table)
    console.print(cluster.kubectl("get", "ic", "--namespace", NAMESPACE))
    console.print("How to go on:")
    console.print("  python -m e2e.cluster kubectl -- get ic,lws,pods,httproute -n demo -o wide", soft_wrap=True)
    console.print("  make down        takes the cluster away")


if __name__ == "__main__":
    explained(main, way_on="What is up stays up: `make demo` goes on from here, `make down` takes it away.")
