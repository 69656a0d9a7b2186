"""A secret shows itself nowhere."""

import json
import pickle

import pytest

from backfuturectl.model.secret import Secret

TEXT = "mx0vglABCDEFGHx7Qa"


@pytest.mark.parametrize(
    "show",
    [repr, str, "{}".format, "{!r}".format, "{:>30}".format, lambda s: f"{[s]}", "%s".__mod__],
)
def test_no_way_of_printing_shows_the_text(show: object) -> None:
    assert callable(show)
    assert TEXT[4:14] not in show(Secret(TEXT))


def test_it_goes_into_no_pickle_and_no_json() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(TEXT))
    with pytest.raises(TypeError):
        json.dumps(Secret(TEXT))


def test_a_fingerprint_tells_keys_apart_and_shows_the_ends_only() -> None:
    shown = Secret(TEXT).fingerprint()
    assert shown.startswith("mx0v…x7Qa · sha256:")
    assert TEXT[4:14] not in shown
    assert "short" not in Secret("short").fingerprint()
    assert shown != Secret(f"{TEXT[:9]}-{TEXT[9:]}").fingerprint()


def test_two_readings_of_one_secret_are_equal() -> None:
    assert Secret(TEXT) == Secret(TEXT)
    assert len({Secret(TEXT), Secret(TEXT), Secret("another")}) == 2
