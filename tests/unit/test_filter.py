"""The filter language: what is understood, and what is said about the rest."""

from __future__ import annotations

import pytest

from holdfast.errors import FilterInvalid
from holdfast.jobs import JobFilter, Place
from holdfast.jobs.filter import FIELDS, Term, quoted


def test_terms_become_places_ages_and_comparisons() -> None:
    found = JobFilter.parse('queue=mail,exports state=failed error~"timed out" age>1h age<2d priority>=5')
    assert found.places == {Place.FAILED}
    assert (found.older_than_seconds, found.younger_than_seconds) == (3600, 172_800)
    assert found.queues == frozenset({"mail", "exports"})
    assert found.terms == (
        Term("error", "~", texts=("timed out",)),
        Term("priority", ">=", number=5.0),
    )


def test_what_a_search_knows_by_sight_must_be_one_of_all_that_is_said() -> None:
    found = JobFilter.parse("queue=a,b,c queue=b,c,d task=t id=7,9")
    assert (found.queues, found.tasks, found.ids) == (frozenset({"b", "c"}), frozenset({"t"}), frozenset({7, 9}))
    assert found.among(["c", "e"]).queues == frozenset({"c"})
    assert JobFilter.parse("queue!=a").among(["a"]).queues == frozenset({"a"})
    assert JobFilter.parse("queue=a").among([]).queues == frozenset()


def test_a_group_of_failures_is_made_of_jobs_that_have_failed() -> None:
    found = JobFilter.parse("failure=0123abcd state=failed,ready")
    assert (found.failures, found.places) == (frozenset({"0123abcd"}), frozenset({Place.FAILED}))


def test_whether_states_were_said_is_known() -> None:
    assert JobFilter.parse("state!=failed").says_state
    assert not JobFilter.parse("queue=state").says_state


def test_nothing_finds_everything() -> None:
    assert JobFilter.parse("  ").places == set(Place)


def test_arguments_are_found_by_path_and_quotes_keep_commas_and_quotes() -> None:
    (term,) = JobFilter.parse(r'args.user.name="Ada, \"the\" first",Bob').terms
    assert term == Term("args", "=", path=("user", "name"), texts=('Ada, "the" first', "Bob"))


def test_an_exclamation_mark_turns_a_term_round() -> None:
    assert JobFilter.parse("state!=failed,cancelled").places == set(Place) - {Place.FAILED, Place.CANCELLED}
    assert JobFilter.parse("task!~mail").terms == (Term("task", "~", negated=True, texts=("mail",)),)


def test_the_narrowest_of_several_bounds_counts() -> None:
    found = JobFilter.parse("age>1h age>2h age<5h age<4h state=failed state=failed,ready")
    assert (found.older_than_seconds, found.younger_than_seconds) == (7200, 14_400)
    assert found.places == {Place.FAILED}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quue=mail", "no field 'quue'\n.*did you mean queue"),
        ("state=faild", "no state 'faild'\n.*did you mean failed"),
        ("queue>mail", "queue cannot be compared with >\n.*queue takes"),
        ("age=1h", "age cannot be compared with =\n.*age takes <  >"),
        ("age>soon", "age: 'soon' is not a duration"),
        ("priority<1e999", "'1e999' is not a number"),
        ("attempt=nan", "'nan' is not a number"),
        ("id=x7", "'x7' is no id of a job"),
        (f"id={2**63 - 1}", f"'{2**63 - 1}' is no id of a job"),
        ("failure~ab", "failure cannot be compared with ~"),
        ("priority=high", "'high' is not a number"),
        ("args=3", "args needs the name of an argument"),
        ("mail", "not understood from here on: 'mail'"),
        ('queue="mail', "not understood from here on"),
        ("queue=mail and state=failed", "not understood from here on: 'and"),
        ("queue=", "not understood"),
    ],
)
def test_what_is_not_understood_is_named_with_a_remedy(text: str, said: str) -> None:
    with pytest.raises(FilterInvalid, match=said) as error:
        JobFilter.parse(text)
    assert error.value.remedy


def test_every_field_of_the_language_is_described_on_its_page() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs/how-to/control.md").read_text()
    for name in FIELDS:
        assert f"`{name}" in page


def test_ids_have_as_many_digits_as_the_years_make_them() -> None:
    assert JobFilter.parse(f"id={2**62}").ids == frozenset({2**62})


@pytest.mark.parametrize("name", ["mail", "a b", 'say "hi"', "back\\slash", "a,b", "end\\"])
def test_a_quoted_name_is_found_whatever_stands_in_it(name: str) -> None:
    assert JobFilter.parse(f"queue={quoted(name)}").queues == frozenset({name})
