"""Settings are checked, and come from arguments or the environment."""

import pytest

from okx_sol_async import (
    ConfigurationError,
    Region,
    Session,
)

pytestmark = pytest.mark.virtual_clock


@pytest.mark.parametrize(
    ("base_url", "problem"),
    [
        ("http://openapi.okx.com", "https"),
        ("http://10.0.0.1:8080", "https"),
        ("http://127.0.0.1.example.com", "https"),
        ("http://localhost.example.com", "https"),
        ("openapi.okx.com", "URL"),
        ("ftp://openapi.okx.com", "URL"),
        ("https://", "URL"),
        ("", "URL"),
        (5, "URL"),
        ("https://host:port", "URL"),
        ("https://user:hunter2@openapi.okx.com", "user"),
        ("https://openapi.okx.com/api/v5", "end after the host"),
        ("https://openapi.okx.com/?a=b", "end after the host"),
        ("https://openapi.okx.com.", "dot"),
        (f"https://{'a' * 64}.okx.com", "URL"),
        ("https://openapi..com", "URL"),
        ("https://xn--a.okx.com", "URL"),
        ("https://okx.com:99999", "URL"),
    ],
)
def test_a_base_url_that_would_leak_or_break_is_refused(base_url: object, problem: str) -> None:
    """Signatures go over https, except to this very machine."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        Session(base_url=base_url)  # type: ignore[arg-type]

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "origin"),
    [
        ("https://openapi.okx.com", "https://openapi.okx.com"),
        ("https://openapi.okx.com/", "https://openapi.okx.com"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:1", "http://[::1]:1"),
        ("http://localhost:1", "http://localhost:1"),
        ("HTTP://LocalHost:1", "http://localhost:1"),
    ],
)
def test_a_base_url_may_be_any_https_host_or_this_machine(base_url: str, origin: str) -> None:
    """Loopback addresses are where emulators live, and an origin is the same however it is written."""
    assert origin == Session(base_url=base_url).origin


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"region": "eea"}, "region"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": "10"}, "timeout"),
        ({"timeout": None}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"max_wait": -1}, "max_wait"),
        ({"max_wait": float("nan")}, "max_wait"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": 1.5}, "attempts"),
        ({"http": "x"}, "http"),
        ({"limiter": 5}, "limiter"),
        ({"middlewares": None}, "middlewares"),
        ({"observe": 5}, "observe"),
        ({"middlewares": ["x"]}, "middlewares"),
    ],
)
def test_settings_are_checked(arguments: dict[str, object], field: str) -> None:
    """A setting that means nothing is refused by its name."""
    with pytest.raises(ConfigurationError, match=f"{field} must "):
        Session(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({}, {}, "https://openapi.okx.com"),
        ({"OKX_REGION": "eea"}, {}, "https://eea.okx.com"),
        ({"OKX_REGION": "US", "OKX_DEMO": "1"}, {}, "https://us.okx.com, demo"),
        ({"OKX_REGION": "US"}, {"region": Region.EEA}, "https://eea.okx.com"),
        ({"OKX_BASE_URL": "http://127.0.0.1:5"}, {}, "http://127.0.0.1:5"),
        ({"OKX_BASE_URL": "http://127.0.0.1:5"}, {"region": Region.US}, "https://us.okx.com"),
        ({"OKX_BASE_URL": "", "OKX_DEMO": "0"}, {"base_url": "http://127.0.0.1:6"}, "http://127.0.0.1:6"),
        ({"OKX_DEMO": "true"}, {"demo": False}, "https://openapi.okx.com"),
    ],
)
def test_settings_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    arguments: dict[str, object],
    expected: str,
) -> None:
    """What is given wins over the environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert f"<Session {expected}, 0 calls in flight>" == repr(Session.from_env(**arguments))  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value"), [("OKX_REGION", "mars"), ("OKX_DEMO", "maybe"), ("OKX_BASE_URL", "x")])
def test_a_bad_setting_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The error names the variable, or the argument that it stands for."""
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=f"{name}|{name.removeprefix('OKX_').lower()}"):
        Session.from_env()
