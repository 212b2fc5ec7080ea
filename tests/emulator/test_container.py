"""The container and the compose file of docs/container: their commands, ports, files and keys are right."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from okx_sol_async.cli._app import app
from okx_sol_async.emulator import Emulator
from tests.support.terminals import running

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "container"
CONTAINERFILE = (FOLDER / "Containerfile").read_text("utf-8").replace("\\\n", " ")
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
SERVICE = COMPOSE["services"]["emulator"]
BOT = COMPOSE["services"]["bot"]
PORT = "8080"


def instructions(name: str) -> list[str]:
    """Return what follows an instruction of the Containerfile."""
    return re.findall(rf"^ *{name} +(.*)$", CONTAINERFILE, re.MULTILINE)


def test_what_is_copied_is_there() -> None:
    """The image is built of files of the repository, and they are all that the package needs to be built."""
    copied = [name for line in instructions("COPY") for name in line.split()[:-1]]

    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]
    packed, hook = hatch["build"]["targets"]["wheel"], hatch["metadata"]["hooks"]["custom"]
    needed = ["pyproject.toml", "README.md", "LICENSE", hook["path"], *packed["packages"]]
    assert sorted(needed) == sorted(copied)
    for name in copied:
        assert (ROOT / name).exists() or name == "okx_sol_async"
    assert (FOLDER / SERVICE["build"]["context"] / SERVICE["build"]["dockerfile"]).samefile(FOLDER / "Containerfile")


def test_the_image_begins_with_the_command() -> None:
    """The entry point is a command of the package, and it serves on the port that the image exposes."""
    [entry], [default], [port] = instructions("ENTRYPOINT"), instructions("CMD")[-1:], instructions("EXPOSE")

    assert ["okx-sol", "emulator"] == json.loads(entry)
    assert PORT == port
    for arguments in (json.loads(default), SERVICE["command"]):
        _, bound, _ = app.parse_args(["emulator", *arguments], print_error=False, exit_on_error=False)
        assert ("0.0.0.0", int(PORT)) == (bound.arguments["host"], bound.arguments["port"])  # noqa: S104
        assert bound.arguments["token"]


@pytest.fixture(name="served")
def _served() -> Iterator[tuple[str, int]]:
    """Serve as the compose file says, on a port that is free and with the state file where it is."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    mounted = {one.split(":")[1]: str(FOLDER / one.split(":")[0]) for one in SERVICE["volumes"]}
    words = [mounted.get(word, str(port) if word == PORT else word) for word in SERVICE["command"]]
    words = [re.sub(r"\$\{EMULATOR_TOKEN:\?[^}]*\}", "t0ken", word) for word in words]
    with running("emulator", *words) as process:
        while "OKX_DEMO" not in process.stdout.readline():
            pass
        yield "t0ken", port


def test_it_serves_as_written(served: tuple[str, int]) -> None:
    """The health check passes without the token, and a bot with the key of the compose file gets its balance."""
    _, port = served
    check = instructions("HEALTHCHECK")[0].partition(" CMD ")[2]
    _, option, code = json.loads(check)
    subprocess.run([sys.executable, option, code.replace(PORT, str(port))], check=True)  # noqa: S603 - ours

    variables = BOT["environment"] | {"OKX_BASE_URL": f"http://127.0.0.1:{port}"}
    with running("balance", "--json", **variables) as bot:
        shown, _ = bot.communicate()
    assert "3.50000000" == json.loads(shown)["amt"]
    assert ["emulator"] == list(BOT["depends_on"])
    assert f"http://emulator:{PORT}" == BOT["environment"]["OKX_BASE_URL"]
    assert [f"127.0.0.1:{PORT}:{PORT}"] == SERVICE["ports"]


def test_the_state_file_is_one() -> None:
    """It can be restored, and has the key that the bot is given."""
    exchange = Emulator()
    exchange.restore(FOLDER / "state.toml")
    key, given = exchange.credentials, BOT["environment"]

    assert (given["OKX_API_KEY"], given["OKX_SECRET_KEY"], given["OKX_PASSPHRASE"], given["OKX_USER_ID"]) == (
        key.api_key,
        key.secret_key,
        key.passphrase,
        exchange.user.uid,
    )
