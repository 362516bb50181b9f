from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.settings import FILE_NAME, Settings, load_settings, redacted

URL = "postgresql://app:secret@db.internal/app"


def load(tmp_path: Path, flags: dict[str, Any] | None = None, file: str | None = None, **environ: str) -> Settings:
    """Settings of a project in ``tmp_path`` that has ``file`` and sees nothing but ``environ``."""
    (tmp_path / FILE_NAME).write_text(file or "", encoding="utf-8")
    return load_settings(flags, environ=environ, directory=tmp_path)


# --- where a value comes from ---


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    settings = load(tmp_path)

    assert settings == Settings(data_dir=tmp_path / ".holdfast")
    assert (settings.concurrency, settings.queues, settings.database_url) == (20, ("default",), None)


@pytest.mark.parametrize(
    ("flag", "variable", "expected"), [(1, "2", 1), (None, "2", 2), (None, "", 3)], ids=["flag", "environment", "file"]
)
def test_flag_beats_environment_beats_file_beats_default(
    tmp_path: Path, flag: int | None, variable: str, expected: int
) -> None:
    settings = load(tmp_path, {"concurrency": flag}, "concurrency = 3\nmax_losses = 9", HOLDFAST_CONCURRENCY=variable)

    assert settings.concurrency == expected
    assert settings.max_losses == 9


def test_our_database_url_beats_the_platforms(tmp_path: Path) -> None:
    ours, theirs = URL, "postgres://other/db"

    assert load(tmp_path, DATABASE_URL=theirs).database_url == theirs
    assert load(tmp_path, DATABASE_URL=theirs, HOLDFAST_DATABASE_URL=ours).database_url == ours


def test_the_summary_of_a_drain_goes_where_the_ci_wants_it(tmp_path: Path) -> None:
    theirs, ours = "/ci/summary", "mine.md"

    assert load(tmp_path, GITHUB_STEP_SUMMARY=theirs).drain_summary == Path(theirs)
    assert load(tmp_path, GITHUB_STEP_SUMMARY=theirs, HOLDFAST_DRAIN_SUMMARY=ours).drain_summary == Path(ours)
    assert load(tmp_path, GITHUB_STEP_SUMMARY="").drain_summary is None


@pytest.mark.parametrize("variable", ["HOLDFAST_DATABASE_URL_FILE", "DATABASE_URL_FILE"])
def test_a_database_url_may_come_from_a_mounted_secret(tmp_path: Path, variable: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{URL}\n", encoding="utf-8")

    assert load(tmp_path, None, None, **{variable: str(secret)}).database_url == URL


def test_a_value_and_a_file_for_it_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="both DATABASE_URL and DATABASE_URL_FILE"):
        load(tmp_path, DATABASE_URL=URL, DATABASE_URL_FILE="/run/secrets/url")


def test_an_unreadable_secret_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="HOLDFAST_DATABASE_URL_FILE names a file that cannot be read"):
        load(tmp_path, HOLDFAST_DATABASE_URL_FILE=str(tmp_path / "absent"))


def test_folders_of_one_project_agree(tmp_path: Path) -> None:
    inside = tmp_path / "src" / "deep"
    inside.mkdir(parents=True)
    (tmp_path / FILE_NAME).write_text('log_format = "json"', encoding="utf-8")

    settings = load_settings(environ={}, directory=inside)

    assert (settings.log_format, settings.data_dir) == ("json", tmp_path / ".holdfast")


# --- what a value may be ---


def test_queues_are_split_at_commas_outside_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, HOLDFAST_QUEUES="mail, exports,").queues == ("mail", "exports")
    assert load(tmp_path, file='queues = ["mail", "a,b"]').queues == ("mail", "a,b")


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("0", False), ("auto", None), ("", None)])
def test_pooled_is_yes_no_or_auto(tmp_path: Path, text: str, *, expected: bool | None) -> None:
    assert load(tmp_path, HOLDFAST_POOLED=text).pooled is expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOLDFAST_CONCURRENCY", "0"),
        ("HOLDFAST_CONCURRENCY", "many"),
        ("HOLDFAST_QUEUES", ","),
        ("HOLDFAST_APP", "no-colon"),
        ("HOLDFAST_LOG_LEVEL", "loud"),
        ("HOLDFAST_SILENCE_SECONDS", "-1"),
        ("HOLDFAST_POLL_MAX_SECONDS", "inf"),
        ("HOLDFAST_PARTITION_DAYS", "367"),
        ("DATABASE_URL", "mysql://app:secret@db/app"),
    ],
)
def test_a_wrong_value_names_its_source_and_keeps_the_value_secret(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path, None, None, **{variable: value})

    assert str(refused.value).startswith(f"{variable}: ")
    assert "secret" not in str(refused.value)
    assert refused.value.remedy


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="shutdown_hard_seconds must not be less"):
        load(tmp_path, {"shutdown_hard_seconds": 5})
    with pytest.raises(ConfigurationError, match="database_url is not"):
        load(tmp_path, DATABASE_DIRECT_URL=URL)


def test_a_settings_object_does_not_change(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path).concurrency = 1  # type: ignore[misc]


# --- what is misspelt ---


def test_an_unknown_variable_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="HOLDFAST_CONCURENCY") as refused:
        load(tmp_path, HOLDFAST_CONCURENCY="4")

    assert refused.value.remedy == "did you mean HOLDFAST_CONCURRENCY?"


def test_an_unknown_key_or_flag_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean queues"):
        load(tmp_path, file='queue = ["mail"]')
    with pytest.raises(ConfigurationError, match="did you mean retention_days"):
        load(tmp_path, {"retention_day": 3})


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holdfast\.toml cannot be read"):
        load(tmp_path, file="queues = [")


def test_variables_of_the_tests_the_build_and_others_are_left_alone(tmp_path: Path) -> None:
    assert load(
        tmp_path, HOLDFAST_TEST_POSTGRES="embedded", HOLDFAST_SKIP_UI="1", HOLDFASTENER="1", PATH="/bin"
    ) == load(tmp_path)


# --- what is shown ---


def test_passwords_are_never_shown(tmp_path: Path) -> None:
    settings = load(tmp_path, DATABASE_URL=URL, DATABASE_DIRECT_URL=f"{URL}?password=secret")

    assert "secret" not in repr(settings)
    assert "secret" not in str(settings.shown())
    assert settings.shown()["database_url"] == "postgresql://app:***@db.internal/app"


@given(password=st.text(alphabet=st.characters(categories=["L", "N"])).map("Qx7".__add__))
def test_redacting_masks_any_password(password: str) -> None:
    assert password not in str(redacted(f"postgresql://app:{password}@h/d?password={password}"))


def test_every_setting_is_documented_and_durations_name_their_unit() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        if field.annotation is float:
            assert name.endswith("_seconds"), name
            assert "second" in field.description, name
