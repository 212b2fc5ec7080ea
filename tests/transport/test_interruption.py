"""A task that is cancelled for a reason of ours, and one that its caller has cancelled too."""

import asyncio

import pytest

from okx_sol_async import SessionClosed, Timeout
from okx_sol_async.transport._interruption import Interruption


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("by_caller", [False, True])
async def test_only_our_own_cancellation_is_taken_back(before: int, by_caller: bool) -> None:  # noqa: FBT001
    """Whatever has cancelled the task before; that of its caller is passed on."""
    found: list[object] = []

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        for _ in range(before):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(1)
        interruption = Interruption(task)
        assert interruption.take() is None
        interruption.interrupt(Timeout("late"))
        interruption.interrupt(SessionClosed("closed"))
        if by_caller:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(1)
        found.append(await asyncio.create_task(elsewhere(interruption)))
        found.append(interruption.take())
        found.append(interruption.take())
        found.append(task.cancelling())

    async def elsewhere(interruption: Interruption) -> object:
        return interruption.take()

    await asyncio.gather(asyncio.create_task(main()), return_exceptions=True)
    nothing, reason, again, cancellations = found

    assert nothing is again is None
    assert by_caller == (reason is None)
    assert by_caller or isinstance(reason, Timeout)
    assert before + by_caller == cancellations


def test_outside_a_task_nothing_is_interrupted() -> None:
    """As in a callback."""
    interruption = Interruption(None)
    interruption.interrupt(Timeout("late"))

    assert interruption.reason is None
    assert interruption.take() is None
