"""Which objects were deleted, and as of which version, in a fixed place.

A dict would hold a string and two numbers for each, small objects that are made amid all the others of a deletion. Each
keeps the memory around it from being given back (docs/benchmarks.md); numbers in two arrays, made once, keep nothing.
"""

from array import array

_SETS = 1024
_WAYS = 8
"""Objects in a set; the next one takes the place of the one that was deleted first."""


class Graves:
    """The last version of each deleted object, by UID. Of some thousands of deletions the oldest are forgotten."""

    def __init__(self) -> None:
        self._marks = array("q", bytes(8 * _SETS * _WAYS))
        self._versions = array("q", bytes(8 * _SETS * _WAYS))

    def version(self, uid: str) -> int:
        """The version as of which it is gone; -1 of what was not deleted."""
        mark = hash(uid)
        first = mark % _SETS * _WAYS
        for slot in range(first, first + _WAYS):
            if self._marks[slot] == mark:
                return self._versions[slot]
        return -1

    def bury(self, uid: str, version: int) -> None:
        """Remember that it is gone as of this version; a lower one than before changes nothing."""
        mark = hash(uid)
        first = mark % _SETS * _WAYS
        slots = range(first, first + _WAYS)
        slot = next((slot for slot in slots if self._marks[slot] == mark), None)
        if slot is None:
            slot = min(slots, key=self._versions.__getitem__)
            self._marks[slot], self._versions[slot] = mark, version
        else:
            self._versions[slot] = max(version, self._versions[slot])
