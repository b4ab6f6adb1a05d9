"""Workers that take keys from the queue and reconcile them."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator

import structlog

from trireme_operator.controller.metrics import Metrics
from trireme_operator.controller.queue import Key, KeyedQueue
from trireme_operator.kube import KubeError, NotLeading, TooManyRequests

RECONCILE_LIMIT_SECONDS = 120
RECONCILE_ID_DIGITS = 8

ReconcileFn = Callable[[Key], Awaitable[float | None]]
"""Brings one resource about; returns the seconds until the next look, None when the resource is gone."""


async def work(queue: KeyedQueue, reconcile: ReconcileFn, metrics: Metrics) -> None:
    """Run keys for ever. An error of one key is counted and retried; it never ends the worker."""
    while True:
        key = await queue.get()
        await _run(key, queue, reconcile, metrics)


async def _run(key: Key, queue: KeyedQueue, reconcile: ReconcileFn, metrics: Metrics) -> None:
    reconcile_id = f"{random.getrandbits(4 * RECONCILE_ID_DIGITS):0{RECONCILE_ID_DIGITS}x}"
    log = structlog.get_logger().bind(namespace=key.namespace, name=key.name, reconcileID=reconcile_id)
    with structlog.contextvars.bound_contextvars(namespace=key.namespace, name=key.name, reconcileID=reconcile_id):
        try:
            with metrics.reconcile_seconds.time():
                async with asyncio.timeout(RECONCILE_LIMIT_SECONDS):
                    again = await reconcile(key)
        except Exception as error:
            delay = queue.failed(key, at_least_seconds=_asked_to_wait(error))
            metrics.reconciles.labels("error").inc()
            log.warning(
                "Reconcile failed", reason=describe(error), retrySeconds=round(delay, 1), exc_info=_unexpected(error)
            )
        else:
            queue.succeeded(key, again_seconds=again)
            metrics.reconciles.labels("gone" if again is None else "success").inc()


def describe(error: BaseException) -> str:
    """One line for an error; the parts of a group, without repetition."""
    return "; ".join(dict.fromkeys(str(leaf) or type(leaf).__name__ for leaf in _leaves(error)))


def _asked_to_wait(error: BaseException) -> float:
    return float(
        max((leaf.retry_after or 0 for leaf in _leaves(error) if isinstance(leaf, TooManyRequests)), default=0)
    )


def _unexpected(error: BaseException) -> bool:
    return not all(isinstance(leaf, KubeError | NotLeading) for leaf in _leaves(error))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error
