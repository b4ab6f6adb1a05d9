"""The launcher with real GPUs where there is no Kubernetes: pods as processes of one host (docs/gpu.md)."""
