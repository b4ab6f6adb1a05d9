"""The annotations of each ``spec.service.profile``, each with the page that explains it.

All profiles give a load balancer that is reached from inside the network only: an engine without an API key answers
anybody. Where the cloud ends silent connections, they are kept as long as it allows, because an answer that is not
streamed is silent until it is finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trireme_operator.api.service import ServiceProfile

_AWS: Final = "service.beta.kubernetes.io/aws-load-balancer-"
_AZURE: Final = "service.beta.kubernetes.io/azure-load-balancer-"

PROFILES: Final[Mapping[ServiceProfile, Mapping[str, str]]] = {
    # https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/service/annotations/
    ServiceProfile.AWS_NLB: {
        # "external": the AWS Load Balancer Controller, not the cloud provider's built-in one.
        f"{_AWS}type": "external",
        f"{_AWS}scheme": "internal",
        # Straight to the pods: only those that are ready are targets, and no node forwards.
        f"{_AWS}nlb-target-type": "ip",
        # Groups are few and big: without it each zone would get the same share, however many groups it has.
        f"{_AWS}attributes": "load_balancing.cross_zone.enabled=true",
        # The port of the pods, also with externalTrafficPolicy Local, for which another one is the default.
        f"{_AWS}healthcheck-port": "traffic-port",
        f"{_AWS}healthcheck-protocol": "http",
        f"{_AWS}healthcheck-path": "/health",
        # 350 s unless set, 6000 at most:
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/network/update-idle-timeout.html
        f"{_AWS}listener-attributes.TCP-80": "tcp.idle_timeout.seconds=6000",
    },
    # https://cloud.google.com/kubernetes-engine/docs/concepts/service-load-balancer-parameters
    ServiceProfile.GKE_INTERNAL: {"networking.gke.io/load-balancer-type": "Internal"},
    # https://kubernetes-sigs.github.io/cloud-provider-azure/topics/loadbalancer/#loadbalancer-annotations
    ServiceProfile.AKS_INTERNAL: {
        f"{_AZURE}internal": "true",
        # In minutes; 4 unless set, 30 at most.
        f"{_AZURE}tcp-idle-timeout": "30",
    },
}
