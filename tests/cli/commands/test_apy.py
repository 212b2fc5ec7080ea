"""``okx-sol apy``."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from syrupy.assertion import SnapshotAssertion

from okx_sol_async.cli._app import run
from okx_sol_async.emulator import Emulator


def test_the_apy_takes_no_key(then: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is public."""
    for name in ("OKX_API_KEY", "OKX_SECRET_KEY", "OKX_PASSPHRASE"):
        monkeypatch.delenv(name)

    assert 0 == run(["apy"])
    assert 2 == run(["product"])


def test_a_chart_in_a_file(
    then: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str], snapshot: SnapshotAssertion
) -> None:
    """The picture is well-formed, has a description for screen readers, and colours for dark and for light pages."""
    path = tmp_path / "apy.svg"

    assert 0 == run(["apy", "--days", "30", "--svg", str(path)])

    assert "" == capsys.readouterr().out
    assert snapshot == path.read_text(encoding="utf-8").replace(then.url, "https://openapi.okx.com")
    picture = ET.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 - we have just drawn it
    texts = [element.text for element in picture.iter() if element.tag.endswith(("text", "desc"))]
    assert texts[0] == texts[2]
    assert {"APY in per cent", "day (begins at 16:00 UTC)", "2026-11-21"} <= set(texts)
    assert "prefers-color-scheme: dark" in path.read_text(encoding="utf-8")


def test_a_chart_that_cannot_be_written(then: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is named."""
    file = tmp_path / "file"
    file.touch()

    assert 1 == run(["apy", "--svg", str(file / "apy.svg")])
    assert f"okx-sol: cannot write {file}/apy.svg: Not a directory\n" == capsys.readouterr().err
