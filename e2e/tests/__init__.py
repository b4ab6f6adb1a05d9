"""End-to-end tests: a real cluster, real LeaderWorkerSets and gateway, and the real engine where its answer matters."""
