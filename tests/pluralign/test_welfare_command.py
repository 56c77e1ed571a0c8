"""`pluralign welfare` on users' own tables: answers, stated handling, and one clear line for each mistake."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from real_files import real_file

from pluralign.commands.welfare import command
from sim.errors import InputError

TABLE = "party,A,B,C,D\nann,1,0,.7,.2\nbob,0,1,.7,.2\ncy,3,2,1,5\ndee,2,2,2,2\n"


def run(tmp_path, text, *options, as_json=True):
    path = tmp_path / "utilities.csv"
    path.write_text(text)
    result = CliRunner().invoke(command, [str(path), *options, *(["--json"] if as_json else [])])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.output) if as_json else result.output


@pytest.mark.parametrize(
    ("rule", "choice"), [("nash", "C"), ("utilitarian", "D"), ("leximin", "C"), ("alpha=-1", "C"), ("alpha=.5", "D")]
)
def test_choices(tmp_path, rule, choice):
    answer = run(tmp_path, TABLE, "--rule", rule)
    assert answer["choice"] == choice
    assert answer["pareto_efficient"] is True
    assert answer["optimality_gap"] == 0.0
    column = "ABCD".index(choice)
    values = np.array([[1, 0, 0.7, 0.2], [0, 1, 0.7, 0.2], [3, 2, 1, 5], [2, 2, 2, 2]])
    assert answer["utilities"] == pytest.approx(values[:, column])
    assert answer["share_of_maximum"] == pytest.approx(values[:, column] / values.max(axis=1))


def test_lottery_from_the_worst(tmp_path):
    answer = run(tmp_path, TABLE, "--lottery", "--zero", "worst")
    assert sum(answer["lottery"]) == pytest.approx(1.0)
    assert answer["optimality_gap"] < 1e-8
    assert answer["pareto_efficient"] is True
    assert answer["indifferent"] == ["dee"]
    assert answer["smallest_share"]["share"] >= 1 / 3
    assert answer["pigou_dalton"]["holds"] is True
    assert {other["rule"] for other in answer["other_rules"]} == {"utilitarian", "leximin"}


def test_utilitarian_lottery_leaves_transfers_undone(tmp_path):
    answer = run(tmp_path, "A,B\n1,0\n0,1\n", "--rule", "utilitarian", "--lottery")
    assert answer["pigou_dalton"]["holds"] is False
    assert answer["pigou_dalton"]["witness"]["giver"] == "party 1"
    assert answer["smallest_share"]["certified"] is False


def test_transfer_left_undone_names_the_option(tmp_path):
    answer = run(tmp_path, "who,A,B\nx,4,3\ny,0,1\n", "--rule", "utilitarian")
    assert answer["choice"] == "A"
    assert answer["ties"] == ["B"]
    witness = answer["pigou_dalton"]["witness"]
    assert (witness["giver"], witness["receiver"], witness["option"], witness["amount"]) == ("x", "y", "B", 1.0)


def test_ties_go_to_the_first_and_are_named(tmp_path):
    answer = run(tmp_path, "A,B,C\n1,2,2\n2,1,1\n", "--rule", "leximin")
    assert (answer["choice"], answer["ties"]) == ("A", ["B", "C"])


@pytest.mark.parametrize("alpha", [".5", ".01", ".0005", "1e-9"])
def test_small_powers_have_no_false_ties(tmp_path, alpha):
    """((1 / M) sum u^a)^(1 / a) of all options is far below the table's entries, or below all numbers."""
    text = "who,A,B,C\np1,5,1,0\np2,0,1,0\np3,0,0,3\np4,0,0,3\np5,0,0,3\n"
    answer = run(tmp_path, text, "--rule", f"alpha={alpha}")
    assert (answer["choice"], answer["ties"]) == ("C", [])
    # True ones are still seen, where the sums round otherwise.
    answer = run(tmp_path, "A,B,C\n2,0,1\n3,.7,0\n0,2,0\n.7,3,0\n", "--rule", f"alpha={alpha}")
    assert (answer["choice"], answer["ties"]) == ("A", ["B"])


@pytest.mark.parametrize("rule", ["leximin", "utilitarian"])
def test_a_loss_has_no_share_of_a_maximum(tmp_path, rule):
    """Nothing but losses for both: shares of 1 and their certificate would say that everybody has all she can have."""
    table = "who,A,B,C\nann,-5,-1,-2\nbob,-1,-9,-3\n"
    for more in ([], ["--lottery"]):
        answer = run(tmp_path, table, "--rule", rule, *more)
        assert answer["share_of_maximum"] == [None, None]
        assert (answer["smallest_share"]["share"], answer["smallest_share"]["certified"]) == (None, False)
    assert "every option is a loss" in run(tmp_path, table, "--rule", rule, as_json=False)
    # Counted from the worst option there are shares.
    assert run(tmp_path, table, "--rule", rule, "--zero", "worst")["smallest_share"]["share"] > 0
    # Ann's 5 and Bob's -4 sum to 1, at most M of anything: no certificate that 5 is.
    mixed = run(tmp_path, "who,A,B\nann,1,5\nbob,1,-4\n", "--rule", "leximin")
    assert (mixed["choice"], mixed["share_of_maximum"]) == ("A", [0.2, 1.0])
    assert mixed["smallest_share"] == {"share": 0.2, "one_over_m": 0.5, "certified": False}


def test_one_party_and_one_option(tmp_path):
    answer = run(tmp_path, "A,B\n1,2\n")
    assert (answer["choice"], answer["share_of_maximum"]) == ("B", [1.0])
    for rule in ("nash", "utilitarian", "leximin"):
        assert run(tmp_path, "x,A\nann,1\nbob,3\n", "--rule", rule)["choice"] == "A"
        assert run(tmp_path, "x,A\nann,1\nbob,3\n", "--rule", rule, "--lottery")["lottery"] == [1.0]


def test_status_quo_leaves_out_what_harms_somebody(tmp_path):
    answer = run(tmp_path, "x,now,B,C\nann,1,2,3\nbob,1,2,.5\n", "--zero", "now")
    assert (answer["choice"], answer["left_out"], answer["gains"]) == ("B", ["C"], [1.0, 1.0])
    lottery = run(tmp_path, "x,now,B,C\nann,1,2,3\nbob,1,2,.5\n", "--zero", "now", "--lottery")
    assert lottery["lottery"][2] == 0.0


def test_certificates_do_not_count_what_is_left_out(tmp_path):
    text = "who,now,X,Y\nann,0,4,-1\nbob,0,1,6\n"
    for options in ([], ["--lottery"]):
        answer = run(tmp_path, text, "--zero", "now", *options)
        assert answer["left_out"] == ["Y"]
        assert answer["smallest_share"]["share"] == pytest.approx(1.0)
        assert answer["smallest_share"]["certified"] is True
        assert answer["pigou_dalton"]["holds"] is True


def test_dominated_choice_has_a_witness(tmp_path):
    """A minimum alone would stop at A; leximin does not. A lottery may dominate a single option."""
    answer = run(tmp_path, "A,B\n1,1\n1,2\n", "--rule", "leximin")
    assert answer["choice"] == "B"
    text = run(tmp_path, TABLE, "--lottery", "--zero", "worst", as_json=False)
    assert "Pareto efficient" in text
    assert "left out, indifferent: dee" in text


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("A,B\n1,-2\n0,1\n", [], "at least 0.*-2.*row 2.*B|row 2.*column|B.*--zero worst"),
        ("A,B\n1,0\n0,1\n", [], "every option gives some party 0"),
        ("A,B\n1,0\n0,1\n", ["--zero", "worst"], "use --lottery"),
        ("A,B\n1,1\n2,2\n", ["--zero", "worst"], "indifferent"),
        ("A,B\n0,0\n0,0\n", [], "indifferent"),
        ("A,B\n1,nan\n2,2\n", [], "finite"),
        ("A,B\n1,x\n2,2\n", [], "finite"),
        (TABLE, ["--zero", "E"], "no option 'E'"),
        (TABLE, ["--zero", "A"], "status quo stays"),
        (TABLE, ["--rule", "alpha=2"], "at most 1"),
        (TABLE, ["--rule", "nsah"], "unknown rule"),
        ("A,B\n1,-2\n0,1\n", ["--lottery", "--rule", "alpha=.5"], "at least 0"),
    ],
)
def test_one_clear_line(tmp_path, text, options, words):
    with pytest.raises(InputError, match=words):
        run(tmp_path, text, *options)


def test_a_row_of_zeros_is_named_and_has_no_say(tmp_path):
    answer = run(tmp_path, "x,A,B\nann,1,2\nnobody,0,0\n")
    assert (answer["choice"], answer["indifferent"]) == ("B", ["nobody"])


def test_negative_utilities_are_fine_for_sums_and_minima(tmp_path):
    for rule in ("utilitarian", "leximin"):
        assert run(tmp_path, "A,B\n-1,-2\n-3,1\n", "--rule", rule, "--lottery")["pareto_efficient"] is True


def test_films_example_on_real_ratings(tmp_path):
    """The README's numbers: Utilitarian leaves somebody nothing, Nash mixes three films."""
    folder = real_file("movielens/ratings.csv.gz").parent
    from places import ROOT

    example = ROOT / "examples" / "films" / "utilities.py"
    out = tmp_path / "films.csv"
    subprocess.run(
        [sys.executable, str(example), str(folder / "ratings.csv.gz"), str(folder / "movies.csv.gz"), str(out)],
        check=True,
    )
    nash, utilitarian, leximin = (
        run(tmp_path, out.read_text(), "--zero", "worst", "--lottery", "--rule", rule)
        for rule in ("nash", "utilitarian", "leximin")
    )
    assert sorted(round(p, 2) for p in nash["lottery"] if p > 1e-6) == [0.2, 0.36, 0.44]
    assert min(nash["share_of_maximum"]) == pytest.approx(0.562, abs=1e-3)
    assert min(utilitarian["share_of_maximum"]) == 0.0
    assert min(leximin["share_of_maximum"]) == pytest.approx(0.5, abs=1e-6)
