"""What is remembered of deleted objects."""

from trireme_operator.controller.graves import Graves


def test_what_was_not_deleted_has_no_version() -> None:
    assert Graves().version("a") == -1


def test_the_last_version_of_each_counts() -> None:
    graves = Graves()
    graves.bury("a", 7)
    graves.bury("b", 9)
    graves.bury("a", 5)
    assert (graves.version("a"), graves.version("b")) == (7, 9)
    graves.bury("a", 11)
    assert graves.version("a") == 11


def test_the_oldest_of_very_many_are_forgotten_and_the_newest_are_not() -> None:
    graves = Graves()
    for version in range(1, 100_001):
        graves.bury(f"uid-{version}", version)
    assert all(graves.version(f"uid-{version}") == version for version in range(99_001, 100_001))
    known = sum(graves.version(f"uid-{version}") != -1 for version in range(1, 100_001))
    assert known == 8192
