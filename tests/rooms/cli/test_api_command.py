"""``holdfast api``: where it listens, who gets in, and what is refused before anything is served."""

from __future__ import annotations

import pytest

from holdfast.cli import api as command
from holdfast.cli import main
from holdfast.errors import ConfigurationError
from holdfast.settings import Settings


@pytest.mark.parametrize(
    ("host", "auth", "asks"),
    [
        ("127.0.0.1", None, False),
        ("localhost", None, False),
        ("::1", None, False),
        ("127.0.0.1", True, True),
        ("0.0.0.0", None, True),
        ("10.0.0.7", True, True),
        ("ops.example.org", None, True),
    ],
)
def test_only_this_machine_is_let_in_unasked(host: str, *, auth: bool | None, asks: bool) -> None:
    assert command.guarded(Settings(api_host=host, auth=auth)) is asks


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "ops.example.org"])
def test_an_open_door_to_others_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="without authentication"):
        command.guarded(Settings(api_host=host, auth=False))


def test_the_next_free_port_is_taken_unless_one_is_named() -> None:
    with command.listen(Settings()) as first, command.listen(Settings()) as second:
        ports = [listening.getsockname()[1] for listening in (first, second)]
        assert command.address_of(first) == f"http://127.0.0.1:{ports[0]}"
        with pytest.raises(ConfigurationError, match=f"port {ports[0]}"):
            command.listen(Settings(api_port=ports[0]))

    assert 8765 <= ports[0] < ports[1] < 8765 + 20


def test_a_setting_that_is_none_is_an_error_before_anything_is_served(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["api", "--host", "0.0.0.0", "--port", "70000"]) == 2
    capsys.readouterr()


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.cli.api._NEEDED", ("fastapi", "no_such_package_here"))
    with pytest.raises(ConfigurationError, match="no_such_package_here") as refused:
        command.require_packages()

    assert refused.value.remedy == "install them: pip install 'holdfast[api]'"
