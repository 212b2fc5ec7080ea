"""The moving line while a command waits."""

from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import NoResponse, Refusal
from tests.support.terminals import running, set_of, terminal


def test_after_a_second_the_command_says_that_it_waits(as_user: Emulator) -> None:
    """It says for how long; the line is gone in the end, and the cursor is there again."""
    as_user.fail_next(NoResponse())
    with terminal("balance", **set_of(as_user)) as shown:
        shown.wait_for(f"waiting for {as_user.url}, 1 s")
        shown.interrupt()

        assert 130 == shown.end()
    assert "\x1b[?25h" in shown.raw.rpartition("\x1b[?25l")[2]


def test_each_resend_is_a_line(as_user: Emulator) -> None:
    """A person who waits sees why."""
    as_user.fail_next(Refusal("50001"), times=2)
    with terminal("balance", **set_of(as_user)) as shown:
        assert 0 == shown.end()

    assert 2 == shown.text.count("resent")
    assert "Staked " in shown.text


def test_without_a_terminal_nothing_moves(as_user: Emulator) -> None:
    """Scripts see nothing of it on stderr."""
    as_user.fail_next(Refusal("50001"))
    with running("balance", **set_of(as_user)) as process:
        _, complaint = process.communicate()

    assert (0, "") == (process.returncode, complaint)


def test_in_a_dumb_terminal_nothing_moves(as_user: Emulator) -> None:
    """What cannot move the cursor shows no control sequence."""
    with terminal("balance", TERM="dumb", **set_of(as_user)) as shown:
        assert 0 == shown.end()

    assert "Staked " in shown.raw
    assert "\x1b" not in shown.raw
