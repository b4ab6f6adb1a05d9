"""The command line ``trireme``: what can be said about resources without a cluster, and their revisions in one."""
