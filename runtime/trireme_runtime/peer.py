"""Another launcher of the group, found by its name and then asked where it was found.

Only the search needs DNS. A lookup that fails or hangs says nothing about a pod that is known and answers, so the
address that answered last is asked first, over a connection that is kept, and the name is looked up again when that
address no longer leads to the pod that answered there before, told by its UID. A pod of another name is a stranger,
however it came to the address: it never counts.
"""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass

from trireme_runtime import fetch, members
from trireme_runtime.members import Member

_TIMEOUT_SECONDS = 1.0
_LOOKUP_SECONDS = 0.5
"""One lost answer and a lookup that hangs must not add up to silence: 1 s until asked, 1 s asked, this, below 3 s."""


@dataclass(frozen=True)
class _Known:
    address: str
    pod_uid: str


class Peer:
    """One other launcher; asked by one thread."""

    def __init__(self, name: str, port: int) -> None:
        self._name = name
        self._port = port
        self._known: _Known | None = None
        self._connection: fetch.Connection | None = None
        self._lookup: _Lookup | None = None

    @property
    def address(self) -> str | None:
        """Where it answered last."""
        known = self._known
        return None if known is None else known.address

    def ask(self) -> Member:
        """What the peer says about itself, within 2.5 seconds.

        Raises fetch.RefusedError for a proof that it does not serve, fetch.UnreachableError for silence and
        ValueError for an answer that is none of a launcher.
        """
        if self._known is None:
            return self._meet(self._find())
        try:
            member = self._ask_known(self._known)
        except (fetch.RefusedError, fetch.UnreachableError, ValueError) as failure:
            return self._find_again(self._known, failure)
        self._lookup = None  # what is still looked up will be out of date when it is needed
        return member

    def _ask_known(self, known: _Known) -> Member:
        member = self._status(known.address)
        if member.pod_uid != known.pod_uid:
            raise fetch.RefusedError(f"another pod answers at {known.address}")
        return member

    def _find_again(self, known: _Known, failure: Exception) -> Member:
        try:
            address = self._find()
        except fetch.UnreachableError:
            raise failure from None  # DNS has nothing to add
        if address == known.address and isinstance(failure, fetch.UnreachableError):
            raise failure
        try:
            return self._meet(address)
        except fetch.UnreachableError:
            raise failure from None  # what is known of the pod that was there says more

    def _meet(self, address: str) -> Member:
        member = self._status(address)
        expected = self._name.partition(".")[0]
        if member.pod not in ("", expected):
            raise fetch.UnreachableError(f"the name {self._name} leads to {address}, where {member.pod} answers")
        self._known = _Known(address, member.pod_uid)
        return member

    def _status(self, address: str) -> Member:
        if self._connection is None or self._connection.host != address:
            if self._connection is not None:
                self._connection.close()
            self._connection = fetch.Connection(address, self._port)
        answer = self._connection.get("/statusz", timeout_seconds=_TIMEOUT_SECONDS)
        return members.parse(answer.body)

    def _find(self) -> str:
        """The address of the name; raises RefusedError when it does not exist, UnreachableError without an answer."""
        # One that hangs is waited for again, so that a dead DNS does not fill the pod with threads.
        lookup = self._lookup = self._lookup or _Lookup(self._name, self._port)
        if not lookup.done.wait(_LOOKUP_SECONDS):
            raise fetch.UnreachableError(f"the name {self._name} cannot be resolved: no answer")
        self._lookup = None
        if lookup.address:
            return lookup.address
        raise lookup.failure


class _Lookup:
    """One lookup in a thread of its own: the C library cannot be told a time limit, and waits for many seconds."""

    def __init__(self, name: str, port: int) -> None:
        self.address = ""
        self.failure: Exception = fetch.UnreachableError(f"the name {name} has no address")
        self.done = threading.Event()
        self._name = name
        self._port = port
        threading.Thread(target=self._run, name=f"lookup-{name}", daemon=True).start()

    def _run(self) -> None:
        try:
            found = socket.getaddrinfo(self._name, self._port, type=socket.SOCK_STREAM)
            self.address = str(found[0][4][0]) if found else ""
        except socket.gaierror as error:
            if error.errno == socket.EAI_NONAME:
                self.failure = fetch.RefusedError(f"the name {self._name} does not exist")
            else:
                self.failure = fetch.UnreachableError(f"the name {self._name} cannot be resolved: {error.strerror}")
        except (OSError, UnicodeError) as error:
            self.failure = fetch.UnreachableError(f"the name {self._name} cannot be resolved: {error}")
        finally:
            self.done.set()
