"""Which groups leave rotation because of their nodes: one of a zone at a time, and never the last one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trireme_operator.planning import Hold, Member, Notice, Upkeep, ZoneMembers, upkeep

CORDONED = Notice("n1")
GOES, OUT, FINE = Member(0, notice=CORDONED), Member(0, out=True, notice=CORDONED), Member(0)


def zone(*members: Member, name: str | None = "a", **fields: Any) -> ZoneMembers:
    numbered = tuple(replace(member, index=index) for index, member in enumerate(members))
    return replace(ZoneMembers(name, numbered, needed=len(members), share=50), **fields)


def decide(first: ZoneMembers, *others: ZoneMembers) -> Upkeep:
    return upkeep([first, *others])[first.name]


OTHER = zone(FINE, name="b")


@pytest.mark.parametrize(
    ("members", "out"),
    [
        pytest.param([FINE, FINE], set(), id="nobody has a notice"),
        pytest.param([FINE, GOES], {1}, id="the other one serves"),
        pytest.param([GOES, GOES, GOES], {0}, id="all nodes are cordoned, and one group goes"),
        pytest.param([GOES, OUT, GOES], {1}, id="the one that is out stays out"),
        pytest.param([OUT, OUT, FINE], {0}, id="one of two comes back"),
        pytest.param([GOES, Member(1, ready=False), FINE], set(), id="a broken one is enough"),
        pytest.param([OUT, Member(1, ready=False), FINE], set(), id="it is needed again"),
        pytest.param([Member(0, out=True), FINE], set(), id="the notice is over"),
        pytest.param([Member(0, ready=False, notice=CORDONED), GOES], set(), id="one with a notice is broken"),
        pytest.param([], set(), id="no groups"),
    ],
)
def test_of_a_zone_with_several_groups(members: list[Member], out: set[int]) -> None:
    found = decide(zone(*members))
    assert found.out == out
    assert found.hold is None
    assert found.leaves is bool(out)


def test_groups_that_come_in_addition_bring_nobody_back() -> None:
    """An autoscaler adds one because the first is out, and it loads for half an hour."""
    grown = zone(OUT, FINE, Member(2, ready=False), needed=2)
    assert decide(grown).out == {0}
    assert decide(zone(GOES, FINE, Member(2, ready=False), needed=2)).out == set(), "its eviction is refused as well"


def test_the_messages_have_the_sum_and_the_way_out() -> None:
    stays = decide(zone(GOES, Member(1, ready=False), FINE)).message or ""
    assert stays.startswith("node n1 is cordoned, and group 0 keeps its requests, because 1 of the 2 other groups")
    assert "add groups" in stays
    gone = decide(zone(OUT, FINE)).message or ""
    assert gone.startswith("group 0 is out of rotation, because node n1 is cordoned: what runs is waited for")
    assert gone.endswith("kubectl uncordon n1 brings it back")
    tainted = decide(zone(replace(OUT, notice=Notice("n2", "karpenter.sh/disrupted")), FINE)).message or ""
    assert "node n2 has the taint karpenter.sh/disrupted" in tainted
    assert tainted.endswith("kubectl taint node n2 karpenter.sh/disrupted- brings it back")


@pytest.mark.parametrize(
    ("running", "text", "waits"),
    [
        (None, "when its pods are evicted", False),
        (0, "the node can be drained", False),
        (3, "requests still run", True),
    ],
)
def test_what_still_runs_is_told_without_its_number(running: int | None, text: str, waits: bool) -> None:
    found = decide(zone(replace(OUT, running=running), FINE))
    assert text in (found.message or "")
    assert found.waits is waits


def test_the_only_group_of_a_zone_leaves_when_its_traffic_has_moved() -> None:
    first = decide(zone(GOES), OTHER)
    assert first == Upkeep(hold=Hold.NODE_MAINTENANCE, message=first.message, leaves=True)
    assert "traffic of group 0 moves" in (first.message or "")
    assert decide(zone(GOES, share=0, begun=True), OTHER).out == set(), "a gateway has not taken it up"
    moved = decide(zone(GOES, share=0, begun=True, unreached=True), OTHER)
    assert (moved.out, moved.hold) == (frozenset({0}), Hold.NODE_MAINTENANCE)
    assert decide(zone(OUT, share=0, begun=True, unreached=True), OTHER).out == {0}
    assert decide(zone(GOES, share=None), replace(OTHER, share=None)).out == {0}, "there is no route"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([], id="there is no other zone"),
        pytest.param([zone(Member(0, ready=False), name="b")], id="no group"),
        pytest.param([zone(FINE, name="b", share=0)], id="no traffic"),
        pytest.param([zone(FINE, name="b", returned=False)], id="on its way back"),
        pytest.param([zone(FINE, Member(1, ready=False), name="b")], id="not whole"),
        pytest.param([OTHER, zone(Member(0, ready=False), name="c")], id="a third one is not whole"),
        pytest.param([zone(FINE, name="b", busy=True)], id="being drained"),
    ],
)
def test_the_only_group_stays_while_the_others_are_not_well(other: list[ZoneMembers]) -> None:
    found = decide(zone(GOES), *other)
    assert (found.out, found.hold, found.leaves) == (frozenset(), None, False)
    assert "keeps its requests" in (found.message or "")


def test_a_zone_that_has_no_groups_is_in_nobodys_way() -> None:
    idle = zone(name="c", share=0, busy=True)
    assert decide(zone(GOES), OTHER, idle).hold is Hold.NODE_MAINTENANCE


def test_one_that_has_gone_stays_until_nobody_else_serves() -> None:
    gone = zone(OUT, share=0, begun=True, unreached=True)
    hurt = zone(FINE, Member(1, ready=False), name="b")
    assert decide(gone, hurt).out == {0}
    assert decide(gone, zone(Member(0, ready=False), name="b")).out == set()


def test_of_two_zones_only_one_goes() -> None:
    both = upkeep([zone(GOES), zone(GOES, name="b"), zone(FINE, name="c")])
    assert [both[name].hold for name in ("a", "b")] == [Hold.NODE_MAINTENANCE, None]
    second = upkeep([zone(GOES), zone(GOES, name="b", share=10, begun=True), zone(FINE, name="c")])
    assert [second[name].hold for name in ("a", "b")] == [None, Hold.NODE_MAINTENANCE], "who has begun goes on"


def test_a_zone_that_is_drained_or_rolled_out_is_left_as_it_is() -> None:
    assert decide(zone(GOES, busy=True), OTHER) == Upkeep()
    assert decide(zone(OUT, FINE, busy=True)).out == {0}
    assert decide(zone(OUT, busy=True)).out == {0}


MEMBERS = st.builds(
    Member, st.just(0), ready=st.booleans(), out=st.booleans(), notice=st.sampled_from([None, CORDONED])
)
ZONES = st.lists(
    st.builds(
        lambda members, **fields: zone(*members, **fields),
        st.lists(MEMBERS, max_size=4),
        needed=st.integers(0, 4),
        busy=st.booleans(),
        share=st.sampled_from([None, 0, 50]),
        returned=st.booleans(),
        unreached=st.booleans(),
        begun=st.booleans(),
    ),
    min_size=1,
    max_size=4,
).map(lambda found: [replace(each, name=f"z{number}") for number, each in enumerate(found)])


@given(ZONES)
def test_whoever_leaves_is_one_of_its_zone_and_leaves_another_one_behind(zones: list[ZoneMembers]) -> None:
    found = upkeep(zones)
    for each in zones:
        decided = found[each.name]
        if each.busy:
            assert decided.out == {member.index for member in each.members if member.out}
            continue
        assert len(decided.out) <= 1
        members = [member for member in each.members if member.index in decided.out]
        assert all(member.notice is not None and member.ready for member in members)
        if decided.hold is not None:
            assert any(other.serving for other in zones if other is not each)
        elif decided.out:
            assert any(member.ready for member in each.members if member.index not in decided.out)
    assert sum(found[each.name].hold is not None for each in zones) <= 1


def carried_out(zones: list[ZoneMembers]) -> list[ZoneMembers]:
    """Labels follow the decision, and nothing else happens."""
    found = upkeep(zones)
    return [
        replace(each, members=tuple(replace(m, out=m.index in found[each.name].out) for m in each.members))
        for each in zones
    ]


@given(ZONES)
@example([zone(GOES, name="z0", share=None), zone(Member(0, out=True), name="z1", needed=0, share=None)])
def test_what_was_decided_is_decided_again_when_it_is_done(zones: list[ZoneMembers]) -> None:
    """At once, where no group comes back: one that does may be what another one waits for, which then goes."""
    done = carried_out(zones)
    before = {(each.name, m.index) for each in zones for m in each.members if m.out}
    after = {(each.name, m.index) for each in done for m in each.members if m.out}
    if before <= after:
        assert carried_out(done) == done
    again = carried_out(done)
    alone = [len(each.members) == 1 and not each.busy for each in zones]
    assert all(one == two for one, two, only in zip(done, again, alone, strict=True) if not only), "no zone waits there"
    assert carried_out(again) == again
