"""The ledger: what holds, what is recorded, and a printed line that reads the same on another machine."""

import base64
import json
import math

import checkouts
import holoviews
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from mcfpaper import _figures, ledger

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    checkouts.make(tmp_path, monkeypatch)
    checkouts.write_notebook(tmp_path, "01_one", "x = 1")
    return tmp_path


def stated(root):
    return checkouts.run_of(root, "01_one")["claims"]


def state(claims, sentence="It is so", **more):
    claims.claim("T1", sentence, **({"measured": 1.0, "at_most": 2, "oracle": "a definition"} | more))


@given(st.floats(), st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_holds_means_finite_and_within_the_bound(value, low, width):
    bound = {"at_least": low, "at_most": low + width}
    assert _figures.meets([value], bound) == (math.isfinite(value) and low <= value <= low + width)
    assert _figures.meets([value], {"at_most": low}) == (math.isfinite(value) and value <= low)
    assert _figures.meets([low, value], bound) == _figures.meets([value], bound)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("bound", [{"at_most": 1e300}, {"at_least": -1e300}])
def test_nan_and_infinity_never_hold(checkout, capsys, value, bound):
    with pytest.raises(ledger.ClaimError, match="FAILS"):
        state(ledger.Ledger("01_one"), measured=value, **({"at_most": None} | bound))
    assert stated(checkout)[0]["holds"] is False
    assert "FAILS" in capsys.readouterr().out


@given(st.integers(1, 99), st.integers(-6, 6), st.floats(-1e-12, 1e-12))
def test_the_line_does_not_depend_on_rounding_errors(tens, power, noise):
    """Exact ties of a two-digit rounding (0.125, 2.5, ...) are the worst case."""
    tie = (10 * tens + 5) * 10.0**power
    bound = {"at_most": 1e9}
    assert _figures.value_text([tie], bound) == _figures.value_text([tie * (1 + noise)], bound)
    residual = abs(noise)
    assert _figures.value_text([residual], {"at_most": 1e-11}) == "below 1e-11"
    assert _figures.value_text([noise], {"at_least": -1e-11}) == "at least -1e-11"
    assert _figures.value_text([noise], {"at_least": -1e-11, "at_most": 1e-11}) == "0"


@pytest.mark.parametrize(
    ("values", "bound", "text"),
    [
        ([0.98, 1.02, 1.05], {"at_least": 0.9, "at_most": 1.1}, "1.01 ± 0.04"),
        ([0.00125], {"at_most": 0.1}, "0.0013"),
        ([0], {"at_most": 0}, "0"),
        ([3, 5], {"at_most": 9}, "3 to 5"),
        ([0.0], {"at_most": 0}, "at most 0"),
        ([-0.1, -0.2], {"at_most": 0}, "-0.15 ± 0.05"),
        ([3e-12], {"at_most": 1e-12}, "3e-12"),
        ([math.nan, 1.0], {"at_most": 2}, "nan"),
    ],
)
def test_figures_in_words(values, bound, text):
    assert _figures.value_text(values, bound) == text


def test_a_claim_is_recorded_printed_and_asserted(checkout, capsys):
    claims = ledger.Ledger("01_one")
    with pytest.raises(ledger.ClaimError):
        claims.claim(
            "T9",
            "First order in tau",
            measured={"order": ledger.plus_minus(1.02, 0.03), "error": xr.DataArray(0.2)},
            between={"order": (0.9, 1.1)},
            at_most={"error": 0.1},
            because="three grids",
            oracle="O1",
            parameters={"n": np.int64(64), "eps": np.float64(0.1), "shape": (1, 2), "who": None},
            trajectory=claims.store("disc"),
            plot=PNG,
        )
    line = "T9 FAILS: First order in tau: order 1.02 ± 0.03 (between 0.9 and 1.1), error 0.2 (at most 0.1)\n"
    assert capsys.readouterr().out == line
    (record,) = stated(checkout)
    assert record["id"] == "01_one/T9/first-order-in-tau"
    assert record["measured"] == {"order": [0.99, 1.05], "error": [0.2]}
    assert record["parameters"] == {"n": 64, "eps": 0.1, "shape": [1, 2], "who": None}
    assert base64.b64decode(record["plot"]) == PNG
    assert record["trajectory"].startswith("quick/trajectories/01_one/disc-")
    assert record["scale"] == "quick"
    assert record["versions"]["numpy"] == np.__version__


def test_a_figure_becomes_a_png(checkout):
    state(ledger.Ledger("01_one"), plot=holoviews.Curve([1, 2, 4]))
    assert base64.b64decode(stated(checkout)[0]["plot"]).startswith(PNG[:8])


def test_both_ends_of_a_spread_must_hold(checkout):
    claims = ledger.Ledger("01_one")
    state(claims, measured=ledger.plus_minus(1.0, 0.1), at_most=1.1)
    with pytest.raises(ledger.ClaimError):
        state(claims, measured=ledger.plus_minus(1.0, 0.1), at_most=1.09)
    with pytest.raises(ValueError, match="spread"):
        ledger.plus_minus(1.0, math.nan)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"measured": {}}, ValueError, "measured is empty"),
        ({"measured": []}, ValueError, "needs at least one number"),
        ({"measured": True}, TypeError, "must hold numbers"),
        ({"measured": "1"}, TypeError, "must hold numbers"),
        ({"at_most": None}, ValueError, "no bound"),
        ({"at_most": {"other": 1}}, ValueError, "other"),
        ({"at_most": math.nan}, ValueError, "finite"),
        ({"at_most": 1, "at_least": 2}, ValueError, "empty"),
        ({"between": (0, 1)}, ValueError, "two bounds"),
        ({"at_most": None, "between": 1}, ValueError, "pair"),
        ({"sentence": "two\nlines"}, ValueError, "one line"),
        ({"sentence": " "}, ValueError, "one line"),
        ({"oracle": 3}, TypeError, "oracle"),
        ({"plot": "no/such/file.png"}, OSError, "file"),
    ],
)
def test_a_bad_claim_is_refused_and_nothing_recorded(checkout, change, error, message):
    with pytest.raises(error, match=message):
        state(ledger.Ledger("01_one"), **change)
    assert not list((checkout / "data").iterdir())


def test_by_hand_a_claim_may_be_restated_and_the_others_stay(checkout):
    first = ledger.Ledger("01_one")
    state(first, "one")
    state(first, "two")
    again = ledger.Ledger("01_one")
    state(again, "two", measured=1.5)
    state(again, "two", measured=1.25)
    assert {c["sentence"]: c["measured"]["measured"] for c in stated(checkout)} == {"one": [1.0], "two": [1.25]}


def test_the_runner_refuses_a_claim_stated_twice_and_another_notebooks_ledger(checkout, monkeypatch):
    monkeypatch.setenv("MCFPAPER_NOTEBOOK", "01_one")
    monkeypatch.setenv("MCFPAPER_RECORDS", str(checkout / "staging"))
    claims = ledger.Ledger("01_one")
    state(claims)
    with pytest.raises(ValueError, match="stated twice"):
        state(claims)
    state(claims, name="another")
    assert (checkout / "staging" / "01_one.json").is_file()
    with pytest.raises(ValueError, match="02_two"):
        ledger.Ledger("02_two")


def test_scale_and_folder_of_data_come_from_the_environment(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("MCFPAPER_SCALE", "full")
    monkeypatch.setenv("MCFPAPER_DATA", str(tmp_path / "elsewhere"))
    claims = ledger.Ledger("01_one")
    assert claims.choose(quick=1, full=2) == 2
    state(claims)
    assert (tmp_path / "elsewhere/full/records/01_one.json").is_file()
    monkeypatch.setenv("MCFPAPER_SCALE", "huge")
    with pytest.raises(ValueError, match="huge"):
        ledger.Ledger("01_one")


def test_a_store_belongs_to_the_code_that_made_it(checkout):
    before = ledger.Ledger("01_one").store("disc")
    assert ledger.Ledger("01_one").store("disc") == before
    checkouts.write_notebook(checkout, "01_one", "x = 2")
    assert ledger.Ledger("01_one").store("disc") != before


def test_tables_of_records(checkout):
    assert len(ledger.records()) == len(ledger.notebooks()) == len(ledger.theorems()) == 0
    claims = ledger.Ledger("01_one")
    state(claims, measured={"a": 1.0, "b": 0.5}, at_most={"a": 2, "b": 3})
    run = checkouts.run_of(checkout, "01_one")
    (checkout / "data/claims.json").write_text(json.dumps({"scale": "quick", "notebooks": [run]}))
    row = ledger.records().iloc[0]
    assert (row["measured"], row["bound"]) == ("a 1, b 0.5", "a at most 2, b at most 3")
    assert ledger.notebooks().iloc[0]["hold"] == 1
    run["claims"] += [{**run["claims"][0], "label": label, "holds": False} for label in ("T10", "T2", "T10")]
    (checkout / "data/claims.json").write_text(json.dumps({"scale": "quick", "notebooks": [run]}))
    table = ledger.theorems()
    assert list(table["label"]) == ["T1", "T2", "T10"]
    assert list(table["claims"]) == [1, 1, 2]
    assert list(table["hold"]) == [1, 0, 0]
    (checkout / "data/claims.json").write_text("{")
    with pytest.raises(ValueError, match=r"claims\.json"):
        ledger.records()
