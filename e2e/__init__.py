"""Everything that runs Trireme for real: the cluster, its parts, the images, the demo and the end-to-end tests."""
