{{/*
The operator's rights, each for a reason. Three lists: what it needs where InferenceClusters live, what
it needs in its own namespace, and what exists once a cluster. A right that nothing uses is a bug.
*/}}

{{- define "trireme.namespacedRules" -}}
# The resource itself is read and watched; its spec is never written.
- apiGroups: [trireme.dev]
  resources: [inferenceclusters]
  verbs: [get, list, watch]
- apiGroups: [trireme.dev]
  resources: [inferenceclusters/status]
  verbs: [patch]
{{- if .Values.rbac.ownerFinalizers }}
# Children block the deletion of their owner (blockOwnerDeletion); with the admission plugin
# OwnerReferencesPermissionEnforcement, setting that needs this right. Nothing is written with it.
- apiGroups: [trireme.dev]
  resources: [inferenceclusters/finalizers]
  verbs: [update]
{{- end }}
# The children: server-side apply is a patch, and a create when the object is new.
- apiGroups: [leaderworkerset.x-k8s.io]
  resources: [leaderworkersets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
# What Envoy Gateway does about groups that do not answer, where spec.gateway.policy asks for it.
- apiGroups: [gateway.envoyproxy.io]
  resources: [backendtrafficpolicies]
  verbs: [get, list, watch, create, patch, delete]
# What the route leads to where endpoint pickers choose among groups: spec.gateway.endpointPicker.
- apiGroups: [inference.networking.k8s.io]
  resources: [inferencepools]
  verbs: [get, list, watch, create, patch, delete]
# The autoscalers of zones. They write a number of groups with rights of their own.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# What KEDA makes the autoscalers of zones from, where spec.autoscaling.source says so.
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, watch, create, patch, delete]
# The config.json of a model, in the one ConfigMap that a resource names; none is listed or watched.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
# What happens to a resource is told in Events about it.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Why a group is not ready is read from its pods. One whose leader is silent is taken out of the
# Services by labels of its pods (trireme.dev/rotation, and why), and nothing else of a pod is written.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
{{- if .Values.rbac.replaceLostPods }}
# Pods on nodes that don't answer, for resources with spec.failover.replaceLostPods: Force.
- apiGroups: [""]
  resources: [pods]
  verbs: [delete]
{{- end }}
{{- end -}}

{{- define "trireme.ownRules" -}}
# Who of the operators writes: one Lease, by name, in the operator's own namespace.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "trireme.fullname" . }}]
  verbs: [get, create, patch]
{{- if .Values.metricsApi.enabled }}
# The authorities of the metrics server's certificate, in the one Secret that the chart made for it.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ include "trireme.metricsName" . }}]
  verbs: [get]
# Whether this namespace (a Role reaches no other) is being deleted: then the metrics server's registration has to go at
# once.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}
{{- end -}}

{{- define "trireme.clusterRules" -}}
# A Gateway may lie in another namespace; its addresses and listeners make the URL in the status.
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [get]
# Who serves the metrics that autoscalers read; what is wrong with that is said in the status.
- apiGroups: [apiregistration.k8s.io]
  resources: [apiservices]
  verbs: [list]
{{- if .Values.nodeMaintenance.enabled }}
# Which nodes are about to be emptied: groups on them leave the Services first.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
{{- end }}
{{- if .Values.metricsApi.enabled }}
# The metrics server is registered by one APIService, by name, while nobody else has registered its group in any
# version. Its owner is the metrics server's ClusterRole, so that it goes when the release goes.
- apiGroups: [apiregistration.k8s.io]
  resources: [apiservices]
  resourceNames: [v1beta2.custom.metrics.k8s.io]
  verbs: [create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames: [{{ include "trireme.metricsName" . }}]
  verbs: [get]
{{- end }}
{{- end -}}

{{/* The metrics server's rights: pods where InferenceClusters are served, and whom and with what it serves. */}}
{{- define "trireme.metricsPodRules" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end -}}
