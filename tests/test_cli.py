"""The command line: exit statuses of `report`, bad usage, help."""

import base64
import subprocess
import sys

import checkouts
import pytest

from mcfpaper import ledger, reproduce
from mcfpaper.__main__ import COMMANDS, main

PNG = b"\x89PNG\r\n\x1a\n not looked into"
COMMITTED = ("01_one", "02_two")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Two notebooks of one claim each, run and committed."""
    checkouts.make(tmp_path, monkeypatch)
    for name in COMMITTED:
        checkouts.write_notebook(tmp_path, name, "x = 1")
        run_by_hand(name)
        reproduce.renew_committed(checkouts.run_of(tmp_path, name))
    return tmp_path


def run_by_hand(name, measured=0.5, sentence="It <is> [small]"):
    claims = ledger.Ledger(name)
    try:
        claims.claim("T1", sentence, measured=measured, at_most=1, oracle="a definition", plot=PNG)
    except ledger.ClaimError:
        assert measured > 1


def test_report_of_claims_that_hold(checkout, capsys):
    assert main(["report"]) == 0
    printed = capsys.readouterr().out
    assert "2 of 2 claims hold" in printed
    assert "[small]" in printed
    page = (checkout / "data/runs/quick/report.html").read_text()
    assert base64.b64encode(PNG).decode() in page
    assert "It &lt;is&gt; [small]" in page
    assert "http" not in page


def test_report_of_a_claim_that_fails(checkout, capsys):
    run_by_hand("02_two", measured=2.0)
    assert main(["report"]) == 1
    assert "1 of 2 claims hold; 1 fail." in capsys.readouterr().out


def test_report_of_a_claim_that_is_missing(checkout, capsys):
    (checkout / "data/runs/quick/records/02_two.json").unlink()
    assert main(["report"]) == 1
    printed = capsys.readouterr().out
    assert "1 of 2 claims hold; 1 missing." in printed
    assert "not produced" in printed


def test_report_of_a_claim_that_is_stale(checkout, capsys):
    checkouts.write_notebook(checkout, "02_two", "x = 1", prose="# Other words")
    assert main(["report"]) == 0
    checkouts.write_notebook(checkout, "02_two", "x = 2")
    assert main(["report"]) == 1
    assert "1 of 2 claims hold; 1 stale." in capsys.readouterr().out


def test_report_of_a_claim_that_is_not_committed_yet(checkout, capsys):
    run_by_hand("02_two", sentence="Another")
    assert main(["report"]) == 0
    assert "3 of 3 claims hold; 1 new" in capsys.readouterr().out


def test_report_ignores_records_of_notebooks_that_are_not_the_checkouts(checkout, capsys):
    run_by_hand("my_own", measured=2.0)
    assert main(["report"]) == 0
    assert "2 of 2 claims hold" in capsys.readouterr().out


def test_report_goes_to_the_page_that_was_asked_for(checkout, tmp_path):
    assert main(["report", "--html", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert not (checkout / "data/runs/quick/report.html").exists()


def test_report_without_runs_says_what_to_do(checkout, capsys):
    assert main(["report", "--scale", "full"]) == 1
    assert "run `mcfpaper reproduce --scale full` first" in capsys.readouterr().err


def test_a_broken_record_is_named(checkout, capsys):
    (checkout / "data/runs/quick/records/02_two.json").write_text("{")
    assert main(["report"]) == 2
    assert "02_two.json is not valid JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "7"], "no notebook is called '7'; there are 01_one, 02_two"),
        (["reproduce", "notebooks/03_three.ipynb"], "no notebook is called"),
        (["reproduce", "--inplace", "--scale", "full"], "leave out --scale full"),
    ],
)
def test_bad_usage_is_told_before_any_work(checkout, capsys, arguments, message):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (checkout / "data/runs/quick/notebooks").exists()


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["report", "--scale", "huge"]])
def test_what_argparse_refuses(arguments, capsys):
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert "usage: mcfpaper" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as refused:
        main([command, "--help"])
    assert refused.value.code == 0
    assert f"usage: mcfpaper {command}" in capsys.readouterr().out


def test_the_module_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "mcfpaper", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()[0]) == (0, "mcfpaper")
