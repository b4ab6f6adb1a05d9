"""The metrics server: ``custom.metrics.k8s.io`` from memory, so that autoscaling on the queue needs nothing else."""
