"""A connection into another network namespace; that one is made at all, the tests of the local cluster show."""

from __future__ import annotations

import errno
import os
import ssl
from pathlib import Path

import pytest

from e2e.cluster.elsewhere import Connection


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, errno.ENOENT, id="before the cluster has made its namespaces"),
        # EPERM for those who may enter none.
        pytest.param("", errno.EINVAL if os.geteuid() == 0 else errno.EPERM, id="a file that is no namespace"),
    ],
)
def test_a_namespace_that_cannot_be_entered_is_named(tmp_path: Path, content: str | None, reason: int) -> None:
    namespace = tmp_path / "trireme-local"
    if content is not None:
        namespace.write_text(content)
    before = Path("/proc/thread-self/ns/net").readlink()

    connection = Connection("127.0.0.1", 1, context=ssl.create_default_context(), timeout=1, namespace=namespace)
    with pytest.raises(OSError, match=str(namespace)) as raised:
        connection.connect()

    assert raised.value.errno == reason
    assert Path("/proc/thread-self/ns/net").readlink() == before
