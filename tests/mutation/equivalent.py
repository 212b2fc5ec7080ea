"""Mutants that no test can kill, by the reason why they behave as the original does."""

from typing import Final

#: Why nothing is different, and where: the module, the line and the change.
_BY_REASON: Final[dict[str, list[tuple[str, str, str]]]] = {
    "a row that fails is read again": [
        ("codec/_structure.py", "_FAST: Final = _row_readers(detailed_validation=False)", "False to True"),
    ],
    "any large or different number will do": [
        (
            "signing/_credentials.py",
            'return f"key:{hashlib.blake2b(api_key.encode(), digest_size=16).hexdigest()}"',
            "16 to 17",
        ),
        ("staking/_pagination.py", "_END_OF_TIME: Final = 2**63", "2 to 3"),
        ("staking/_pagination.py", "_END_OF_TIME: Final = 2**63", "63 to 64"),
        (
            "staking/_polling.py",
            "return min(math.ldexp(FIRST_PAUSE, min(self.failures - 1, 10)), LONGEST_PAUSE)",
            "10 to 11",
        ),
        ("staking/_reconciliation.py", "_EARLY: Final = 10_000", "10000 to 10001"),
        ("staking/_reconciliation.py", "_EXACT: Final = Context(prec=100)", "100 to 101"),
        ("staking/_write_log.py", "BUSY_TIMEOUT: Final = 5.0", "5.0 to 6.0"),
        ("transport/_events.py", "_IDS: Final = itertools.count(1)", "1 to 2"),
        ("transport/_http.py", "_QUOTED: Final = 4000", "4000 to 4001"),
        (
            "transport/_response.py",
            'excerpt = one_line(safe[: 4 * _EXCERPT].decode(errors="backslashreplace"), _EXCERPT)',
            "4 to 5",
        ),
        ("ratelimit/shared/_store.py", "UNKNOWN: Final = 1", "1 to 2"),
        (
            "ratelimit/shared/_limiter.py",
            "digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()",
            "16 to 17",
        ),
        ("ratelimit/shared/_subscription.py", "LISTEN_FOR: Final = 60.0", "60.0 to 61.0"),
        ("ratelimit/shared/_subscription.py", "CHECK_AFTER: Final = 5.0", "5.0 to 6.0"),
        *(
            (
                "ratelimit/shared/_store.py",
                "self.process: int = random.SystemRandom().getrandbits(31) + 1",
                change,
            )
            for change in ("1 to 2", "31 to 32", "Add to Sub")
        ),
        ("ratelimit/_loops.py", "self.forks: int = 0", "0 to 1"),
        ("ratelimit/_loops.py", "self.forks += 1", "Add to Sub"),
    ],
    "equal numbers lead to the same": [
        ("staking/_polling.py", "if at <= asyncio.get_running_loop().time():", "LtE to Lt"),
        ("staking/_reconciliation.py", "if after >= 0:", "GtE to Gt"),
        ("staking/_write_log.py", "if version < SCHEMA:", "Lt to LtE"),
        ("ratelimit/_latency.py", "if seconds > self._now:  # noqa: PLR1730", "Gt to GtE"),
        ("transport/_metrics.py", "if record.sends > 1:", "Gt to GtE"),
        (
            "transport/_attempt.py",
            "if self.response is not None and self.response.headers.get(_DATE) != clock.last_date:",
            "And to Or",
        ),
        ("transport/_budget.py", "self._left = min(self._left + elapsed * PER_SECOND, RESERVE)", "Mult to Div"),
        (
            "signing/_redaction.py",
            "shorter, longer = (text, joined) if len(text) < len(joined) else (joined, text)",
            "Lt to LtE",
        ),
        (
            "ratelimit/_window.py",
            "self.releases = more if not releases or releases[-1] <= at else tuple(sorted(more))",
            "LtE to Lt",
        ),
    ],
    "the two are never equal": [
        ("ratelimit/_pacing.py", "if self.interval <= self._even * (1 + 1e-9):", "LtE to Lt"),
        (
            "ratelimit/shared/_slots.py",
            "if reservation is None or not reserver.refusals_reported or now < self.fallback.counts_until:",
            "Lt to LtE",
        ),
        ("ratelimit/shared/_slots.py", "is_slow = state.time() - other.refused_at < slow_for", "Lt to LtE"),
        ("ratelimit/shared/_reserver.py", "if dropped is not None and dropped.at > now:", "Gt to GtE"),
        (
            "ratelimit/shared/_reserver.py",
            "if now < self._fallback.counts_until or (is_away and store.goes_on_alone):",
            "Lt to LtE",
        ),
        (
            "ratelimit/shared/_reserver.py",
            "return used.ticket if used is not None and now - used.at < self._limit.seconds / 2 else 0",
            "Lt to LtE",
        ),
        (
            "ratelimit/shared/_reserver.py",
            "if waiter.deadline is None or waiter.deadline >= reservation.at:",
            "GtE to Gt",
        ),
        *(
            (
                "ratelimit/shared/_store.py",
                "blind = self._answered_at is None or not 0 <= sent - self._answered_at < 2 * MEMORY",
                change,
            )
            for change in ("Lt to LtE", "LtE to Lt")
        ),
        (
            "ratelimit/shared/_store.py",
            "return reservation.crowded and now - reservation.since - self._round_trip.shortest() > self._margin / 2",
            "Gt to GtE",
        ),
        (
            "ratelimit/shared/_store.py",
            "if reservation.blind or surplus > reservation.hold - window_of(limit):",
            "Gt to GtE",
        ),
        ("ratelimit/shared/_store.py", "later = took + window_of(limit) > reservation.hold", "Gt to GtE"),
        (
            "ratelimit/shared/_store.py",
            "if best is None or most - least <= best[0] or not least <= best[1] <= most:",
            "LtE to Lt",
        ),
        ("ratelimit/_waiters.py", "return sum(other < number for other in returning)", "Lt to LtE"),
        ("ratelimit/_waiters.py", "in_order = not queue or next(reversed(queue)) < waiter.number", "Lt to LtE"),
    ],
    "no caller has such a value": [
        (
            "signing/_redaction.py",
            "runs = groupby(zip(text, hidden, strict=True), key=itemgetter(1))",
            "True to False",
        ),
        ("staking/_write_log.py", "found = (dict(zip(names, row, strict=True)) for row in rows)", "True to False"),
        (
            "staking/_client.py",
            'since=milliseconds("since", since, rounded_up=True),',
            "True to False",
        ),
        (
            "staking/_pagination.py",
            'return milliseconds("request_time", order.request_time, rounded_up=False)',
            "False to True",
        ),
        (
            "transport/_clock.py",
            "return time.monotonic  # pragma: no cover - where no clock can be chosen, as on Windows",
            "return None",
        ),
        (
            "transport/_clock.py",
            "if clock_id is not None:  # pragma: no branch - macOS lacks the first",
            "IsNot to Is",
        ),
        ("ratelimit/_latency.py", "recent = 0 <= now - self._since < 2 * MEMORY", "LtE to Lt"),
        (
            "transport/_interruption.py",
            "self._cancellations = 0 if task is None else task.cancelling()",
            "0 to 1",
        ),
        (
            "transport/_measurements.py",
            'return dict(zip(CALL_ATTRIBUTES, (method, url.hostname or "", port, path), strict=True))',
            "True to False",
        ),
        ("ratelimit/_latency.py", "recent = 0 <= now - self._since < 2 * MEMORY", "0 to 1"),
        ("ratelimit/shared/_store.py", "more: bool = False,", "False to True"),
        ("ratelimit/shared/_reserver.py", "if self._ticket not in {0, ticket}:", "0 to 1"),
        ("ratelimit/shared/_reserver.py", "if found is None or found.at <= found.received:", "LtE to Lt"),
        (
            "ratelimit/shared/_reserver.py",
            "more = state.queue is not None and state.queue.ahead_of(0, FOREGROUND) > 1",
            "0 to 1",
        ),
        (
            "ratelimit/shared/_batching.py",
            "for index, reply in zip(unknown, again, strict=True):",
            "True to False",
        ),
        (
            "ratelimit/shared/_batching.py",
            "for ((bucket, _), _), reply in zip(batch, replies, strict=True)",
            "True to False",
        ),
        (
            "ratelimit/shared/_batching.py",
            "for (_, done), reply in zip(batch, replies, strict=True):",
            "True to False",
        ),
        (
            "transport/_state.py",
            "_origin_text: str = attrs.field(init=False, default=attrs.Factory(lambda self: str(self.origin), takes_self=True))",
            "False to True",
        ),
        ("transport/_state.py", "_urls: dict[str, URL] = attrs.field(init=False, factory=dict)", "False to True"),
        ("ratelimit/_merging.py", "if state.source is not None and other.source is not None:", "And to Or"),
        ("ratelimit/_waiters.py", "return True", "True to False"),
    ],
    "its first value does not matter": [
        ("staking/_reconciliation.py", "best = [_Matching()] * (len(oldest_first) + 1)", "1 to 2"),
        ("staking/_reconciliation.py", "ranks: tuple[int, ...] = (0, 0, 0)", "0 to 1"),
        ("staking/_reconciliation.py", "distance: float = 0.0", "0.0 to 1.0"),
        ("ratelimit/_latency.py", "self._mean = 0.0", "0.0 to 1.0"),
        ("ratelimit/_latency.py", "self._now = 0.0", "0.0 to 1.0"),
        ("ratelimit/_latency.py", "self._before = 0.0", "0.0 to 1.0"),
        ("transport/_attempt.py", "self._leased_at = 0.0", "0.0 to 1.0"),
        ("transport/_attempt.py", "self._since = 0.0", "0.0 to 1.0"),
        ("transport/_attempt.py", "self.steady_sent: float = 0.0", "0.0 to 1.0"),
        ("transport/_attempt.py", "self.steady_came: float = 0.0", "0.0 to 1.0"),
        ("transport/_attempt.py", "self.took: float = 0.0", "0.0 to 1.0"),
        ("transport/_budget.py", "self._empty = False", "False to True"),
        ("transport/_observed.py", "self._number = 0", "0 to 1"),
        ("ratelimit/shared/_reserver.py", "self._ticket = 0", "0 to 1"),
        ("transport/_measurements.py", "is_queued: bool = False", "False to True"),
        ("ratelimit/_waiters.py", "self.one_by_one: bool = False", "False to True"),
    ],
    "an idle bucket is found sooner or later": [
        ("ratelimit/_registry.py", "SWEEP_ROUND: Final = 1.0", "1.0 to 2.0"),
        ("ratelimit/_registry.py", "SWEEP_SIZE: Final = 512", "512 to 513"),
        ("ratelimit/_registry.py", "SWEEP_EVERY: Final = 0.25", "0.25 to 1.25"),
        ("ratelimit/_registry.py", "evicted += 1", "1 to 2"),
        (
            "ratelimit/_merging.py",
            "if window.in_flight or state.queue or (window.releases and window.releases[-1] > now):",
            "Gt to GtE",
        ),
        *(
            (
                "ratelimit/_registry.py",
                "return 0 if evicted > len(keys) / 2 else min(SWEEP_EVERY, SWEEP_ROUND * SWEEP_SIZE / len(buckets))",
                change,
            )
            for change in ("Gt to GtE", "2 to 3", "Div to Mult")
        ),
    ],
    "a closer look follows": [
        ("signing/_redaction.py", "_STEP: Final = PART - 3", "3 to 4"),
        ("signing/_redaction.py", "for start in range(0, len(shorter) - 3, _STEP):", "0 to 1"),
        ("signing/_redaction.py", "for start in range(0, len(shorter) - 3, _STEP):", "Sub to Add"),
        ("signing/_redaction.py", "if shorter[start : start + 4] in longer:", "Add to Sub"),
    ],
    "only Python's FIPS mode differs": [
        (
            "ratelimit/shared/_batching.py",
            "_SHA: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()",
            "False to True",
        ),
    ],
    "aiohttp takes both for no cookies": [
        ("transport/_http.py", "return self._empty", "return None"),
    ],
    "`next_at` keeps the interval as well": [
        ("ratelimit/_pacing.py", "self._limiter = AsyncLimiter(1, self.interval)", "1 to 2"),
        ("ratelimit/_pacing.py", "await self._limiter.acquire()", "left out"),
        ("ratelimit/_pacing.py", "if self._limiter.time_period != self.interval:", "NotEq to Eq"),
    ],
    "CPython closes what nothing refers to": [
        ("staking/_write_log.py", "file.close()", "left out"),
    ],
}
#: The reason of each.
EQUIVALENT: Final = {mutant: reason for reason, mutants in _BY_REASON.items() for mutant in mutants}
