"""Random schedules of calls, refusals, cancellations, deadlines and merges: none overtakes, is early or is stuck."""

from tests.support.schedules import play

SCHEDULES = 300


def test_every_schedule_is_served_in_order() -> None:
    """First come, first served, in every state of the bucket: paced, paused, merged and refused."""
    played = [play(seed) for seed in range(SCHEDULES)]

    assert [] == [what for schedule in played for what in schedule.broken]
    assert sum(schedule.refusals for schedule in played) > SCHEDULES / 2
    assert sum(schedule.merges for schedule in played) > SCHEDULES / 10
