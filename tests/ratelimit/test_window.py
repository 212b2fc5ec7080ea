"""The slots, without an event loop: each test gives the times."""

from okx_sol_async.ratelimit._window import Window


def test_a_slot_is_free_when_its_release_has_come() -> None:
    """Calls in flight and slots before their release are in use, and nothing else is."""
    window = Window(2)
    window.in_flight = 2
    assert not window.has_room(0.0)

    window.release(5.0)

    assert not window.has_room(4.999)
    assert window.has_room(5.0)
    assert (1, ()) == (window.in_flight, window.releases)


def test_the_next_slot_is_known_unless_a_call_decides() -> None:
    """It is the first release, and unknown while all slots are in flight; with fewer slots it comes later."""
    window = Window(2)
    window.in_flight = 2
    assert window.next_free(0.0) is None

    window.release(5.0)
    assert 5.0 == window.next_free(0.0)

    window.release(7.0)
    assert 5.0 == window.next_free(0.0)
    assert 7.0 == window.next_free(0.0, 1)
    assert 6.0 == window.next_free(6.0)


def test_releases_are_kept_in_order() -> None:
    """Whichever call ends first."""
    window = Window(3)
    window.in_flight = 3
    for at in (9.0, 7.0, 8.0):
        window.release(at)

    assert (7.0, 8.0, 9.0) == window.releases


def test_the_earliest_departure_counts_those_ahead() -> None:
    """Each round of the slots takes a cooldown, and a call in flight may be answered at this moment."""
    window = Window(2)
    window.in_flight = 2
    window.release(0.5)

    assert [0.5, 1.0, 1.5, 2.0] == [window.earliest(ahead, 0.0, 1.0) for ahead in range(4)]


def test_orphans_are_released_and_unused_slots_are_free() -> None:
    """Of three in flight, one was given a slot and never left."""
    window = Window(3)
    window.in_flight = 3
    window.release_all(4.0, 1)

    assert (0, (4.0, 4.0)) == (window.in_flight, window.releases)
    assert 1 == window.free(0.0)


def test_a_window_moves_to_another_clock_and_merges() -> None:
    """Its history moves along, and counts together with that of another one."""
    one, other = Window(2), Window(2)
    one.in_flight, other.in_flight = 1, 2
    one.release(3.0)
    other.release(5.0)
    one.shift(10.0)
    one.merge(other)

    assert (1, (5.0, 13.0)) == (one.in_flight, one.releases)
