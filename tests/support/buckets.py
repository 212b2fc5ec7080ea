"""What tests look at inside a bucket."""

from okx_sol_async import TokenBucket


def granted(bucket: TokenBucket) -> int:
    """Return how many waiters were given a slot and have not run since."""
    queue = bucket.state.queue
    return 0 if queue is None else queue.granted


def wakes_at(bucket: TokenBucket) -> float:
    """Return when the timer of the queue is due."""
    queue = bucket.state.queue
    assert queue is not None
    assert queue.wakes_at is not None
    return queue.wakes_at
