"""Flags of ``vllm serve`` that the operator or the launcher writes, and which ``extraArgs`` may therefore not carry.

How vLLM reads a command line (vLLM 0.32.0, vllm/utils/argparse_utils.py, FlexibleArgumentParser on top of argparse):

- in a word that begins with ``--``, everything up to ``=`` or the first ``.`` is the name, and ``_`` is ``-`` in it;
- any prefix of a long flag's name stands for the flag while no other flag begins with it (argparse's allow_abbrev);
- a short flag of several letters (``-tp``) takes its value as the next word or behind ``=``, and its prefixes count
  too (``-t``); one of a single letter (``-n``) also takes its value glued on (``-n2``);
- since 0.33 ``--disable-x`` switches off what ``--enable-x`` switches on, beside ``--no-enable-x``;
- ``--config FILE`` reads flags from a file, ``--`` ends the flags.
"""

from __future__ import annotations

from typing import Final

OWNED: Final[dict[str, tuple[str, ...]]] = {
    "use spec.model": ("--model", "--revision", "--served-model-name"),
    "use spec.engine.config": (
        "--max-model-len",
        "--gpu-memory-utilization",
        "--device-memory-utilization",
        "--max-num-seqs",
        "--max-num-batched-tokens",
        "--dtype",
        "--quantization",
        "--kv-cache-dtype",
        "--enable-prefix-caching",
        "--no-enable-prefix-caching",
        "--disable-prefix-caching",
        "--enforce-eager",
        "--no-enforce-eager",
        "--trust-remote-code",
        "--no-trust-remote-code",
    ),
    "use spec.parallelism": (
        "--tensor-parallel-size",
        "--pipeline-parallel-size",
        "--data-parallel-size",
        "--data-parallel-external-lb",
        "--data-parallel-hybrid-lb",
        "--no-data-parallel-external-lb",
        "--no-data-parallel-hybrid-lb",
        "--enable-expert-parallel",
        "--no-enable-expert-parallel",
        "--disable-expert-parallel",
    ),
    "the launcher derives it from the pod's index": (
        "--nnodes",
        "--node-rank",
        "--master-addr",
        "--master-port",
        "--headless",
        "--distributed-executor-backend",
        "--distributed-timeout-seconds",
        "--data-parallel-address",
        "--data-parallel-rank",
        "--data-parallel-rpc-port",
        "--data-parallel-size-local",
        "--data-parallel-start-rank",
        "--shutdown-timeout",
    ),
    "Services and probes rely on it": (
        "--host",
        "--port",
        "--uds",
        "--grpc",
        "--grpc-port",
        "--ssl-keyfile",
        "--ssl-certfile",
        "--ssl-ca-certs",
        "--ssl-cert-reqs",
        "--ssl-ciphers",
        "--enable-ssl-refresh",
        "--no-enable-ssl-refresh",
        "--disable-ssl-refresh",
    ),
    "not served by this version": (
        "--api-server-count",
        "--data-parallel-backend",
        "--data-parallel-multi-port-external-lb",
        "--data-parallel-supervisor-port",
        "--prefill-context-parallel-size",
    ),
    "write its flags one by one": ("--config",),
}
"""Long flags by what to do instead."""

SHORT: Final = r"^-([nqr].*|(t|tp|p|pp|pc|pcp|d|dp[a-z]*|e|ep|a|as|asc)([=.0-9].*)?)$"
"""The short spellings: -n -q -r with glued values, -tp -pp -pcp -ep -asc and every -dp..., and their prefixes."""

LONG: Final = tuple(sorted(flag for flags in OWNED.values() for flag in flags))
