"""The page of `pluralign report`: what it is made of, what it refuses, and that text from files stays text."""

import csv
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from made_checks import printed_and_corrected
from made_results import HOSTILE, check_folder, everything, fit_folder, mutations_folder, run_folder, study_folder
from typed_commands import typed, typed_json

import pluralign as pl
from pluralign.page import build, claims, limits
from pluralign.page.build import collect, render
from pluralign.page.folders import results_in
from sim.printable import printable
from theory.engine.registry import all_theorems
from theory.engine.verdicts import Verdict

# JSON of the right kind with the wrong things in it.
WRONG = json.dumps({
    "verdicts": [3], "profile": "quick", "seed": 0, "experiment": "representation", "title": "t",
    "grid": ["violation"], "figure": None, "format": 2, "method": 3,
})  # fmt: skip
VOID = {"meta", "link", "br", "input", "line", "rect", "circle", "path", "polyline", "use", "image"}


class Read(HTMLParser):
    """Elements in order, with what they hold; saved: files to save, name -> content."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.saved, self.open, self.styles = [], [], {}, [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append((tag, given))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "a" and "download" in given:
            assert given["download"] not in self.saved, "two files of one name"
            self.saved[given["download"]] = unquote(given["href"].split(",", 1)[1])

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    def table(self, name):
        return list(csv.DictReader(io.StringIO(self.saved[name])))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return folder, everything(folder)


@pytest.fixture(scope="module")
def page(made):
    return Read(render(collect(made[0])))


def test_text_from_files_is_text(page):
    """One script, ours; no element that a name brought; every hostile name still readable."""
    assert not page.open
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not {"img", "b", "i", "iframe", "object"} & {tag for tag, _ in page.tags if tag != "b"}
    assert not any(name.startswith("on") for _, given in page.tags for name in given)
    # Only of the settings' values, which are no hostile text here.
    assert all("img" not in given.get("class", "") for tag, given in page.tags if tag == "b")
    text = "".join(page.texts)
    assert "{{7*7}}" in text, "no template is made of a name"
    assert "49$" not in text
    assert text.count(printable(HOSTILE)) > 20
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_nothing_is_loaded(page):
    policy = next(given["content"] for tag, given in page.tags
                  if given.get("http-equiv") == "Content-Security-Policy")  # fmt: skip
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    for tag, given in page.tags:
        for name in ("src", "href", "xlink:href", "data", "srcset", "action"):
            if name in given:
                assert given[name].startswith(("#", "data:")), f"{tag} {name}"


def _require_own_ids(page):
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))
    for _, given in page.tags:
        for name in ("href", "xlink:href", "aria-labelledby"):
            place = given.get(name, "").removeprefix("#")
            assert not place or ":" in place or place in ids


def test_ids_are_each_of_one_element(page, tmp_path):
    """Also where a figure stands on the page twice."""
    _require_own_ids(page)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        study_folder(tmp_path / name)
    twice = Read(render(collect(tmp_path)))
    assert sum(given.get("class") == "drawn" for _, given in twice.tags) == 2
    _require_own_ids(twice)


def test_a_claim_opens_to_what_it_rests_on(made, page):
    text = " ".join(page.texts)
    for words in ("a source", "theory/unobserved_types/regrets.py:", "R = beta (L - L').",
                  "every draw ≤ 1e−12", "no coverage", "at least .2", "a-fault", "save regret-beta--as_printed.json",
                  "pluralign replay", "not as expected"):  # fmt: skip
        assert words in text, words
    printed = made[1]["check"][0]
    assert json.loads(page.saved["regret-beta--as_printed.json"]) == printed.as_json()["witness"]


def test_the_witness_of_the_page_is_the_file_that_replays(made, page, tmp_path):
    """The same bytes as `check` writes to witnesses/."""
    from theory.engine import witnesses

    path = witnesses.save(tmp_path, made[1]["check"][0])
    assert page.saved[path.name] == path.read_text()


def test_figures_of_claims_hold_their_numbers(made, page):
    (measured, control, line) = page.table("regret-beta--as_printed-measured.csv")
    assert (float(measured["value"]), float(control["value"]), float(line["value"])) == (14.25, 2.0, 1e-12)
    rows = page.table("hedge-rate--as_stated-rate.csv")
    curve = made[1]["check"][2].curve
    own = [row for row in rows if row["series"] == "measured"]
    assert [float(row["y"]) for row in own] == curve.mean
    assert [float(row["high"]) for row in own] == [
        m + 2 * e for m, e in zip(curve.mean, curve.standard_error, strict=True)
    ]
    theory = [float(row["y"]) for row in rows if row["series"].startswith("slope")]
    assert np.diff(np.log(theory)) / np.diff(np.log(curve.grid)) == pytest.approx(-0.95)
    assert theory[1] == curve.mean[1]


def test_errata_are_what_is_printed_against_what_holds(made):
    (check,) = collect(made[0]).checks
    (paper, hostile) = check.papers
    (erratum,) = paper.errata
    assert erratum.claim.claim_id == "regret-beta"
    assert erratum.printed.check.statement == "R = L - L'."
    assert [own.check.statement for own in erratum.corrected] == ["R = beta (L - L')."]
    assert not hostile.errata


def test_a_reading_that_nobody_printed_is_no_erratum():
    for name, count in (("as_read", 0), ("as_stated", 0), ("as_printed", 1)):
        first, second = printed_and_corrected()
        claim = claims._claim("a", [replace(first, variant=name), second], ())
        assert len(claims.PaperShown("unobserved_types", "", "", (claim,), {}).errata) == count


def test_no_reading_is_printed_that_is_reconstructed_or_the_words_of_an_abstract():
    """Of the low-rank paper no text but its abstract was read: what it names in full there can be printed by it."""
    loose = {"better-without-shift", "robust-isotropic-targets", "robust-context-shift", "robust-loss",
             "em-monotone-inexact", "em-best-likelihood"}  # fmt: skip
    read = {theorem.claim_id for theorem in all_theorems() if "as_read" in theorem.SETTINGS}
    assert read == loose
    for theorem in all_theorems():
        if any(v.expected is Verdict.VIOLATED for v in theorem.SETTINGS.values()) and len(theorem.SETTINGS) > 1:
            violated = {n for n, v in theorem.SETTINGS.items() if v.expected is Verdict.VIOLATED}
            assert violated <= {"as_printed", "as_read"}, theorem.claim_id


def test_faults_are_of_the_folder_or_of_the_record(made, tmp_path):
    (check,) = collect(made[0]).checks
    (claim,) = [own for own in check.claims if own.claim_id == "regret-beta"]
    assert [mutant.id for mutant in claim.mutants] == ["a-fault"]
    assert not any(own.mutants for own in check.claims if own is not claim), "of the folder's run alone"
    check_folder(tmp_path)
    sections = collect(tmp_path)
    by_claim = {own.claim_id: own.mutants for own in sections.checks[0].claims}
    assert "documentation" in sections.mutants_from
    assert any(mutant.id == "bic-is-aic" for mutant in by_claim["bic-formula"])
    assert not by_claim["regret-beta"]


def test_figures_of_a_fit_hold_its_numbers(made, page):
    fit, gamma = made[1]["<i>fit"]
    name = "<i>fit"
    rows = page.table(f"{name}-regret.csv")
    assert [float(row["value"]) for row in rows[:-1]] == [0.5, 1.2, 1.0, 1.9, 1.2, 1.1]
    assert [float(row["value"]) for row in page.table(f"{name}-weights.csv")] == [0.6, 0.4, 0.1, 0.2, 0.7]
    people = page.table(f"{name}-responsibilities.csv")
    assert {row["annotator_id"]: [float(row["type 1"]), float(row["type 2"])] for row in people} == {
        printable(who): own for who, own in gamma.items()
    }
    (trait,) = page.table(f"{name}-type-1.csv")
    assert [float(trait[key]) for key in ("value", "low", "high")] == [1.5, 1.0, 2.0]
    assert (
        float(page.table(f"{name}-scores-known_users.csv")[0]["value"]) == fit["test"]["known_users"]["log_likelihood"]
    )


def test_the_front_of_two_groups_by_hand(page):
    """Regrets of (own, other, common): (0, 4/2), (3, 0), (.5, 1.9): the common policy lies above the line from one's
    own to the other's (at .5: 2 - 2/3 * .5 = 1.67), so the front is that line; min-max weights (.6, .4) lie on it."""
    rows = page.table("<i>fit-front.csv")
    x, y = (key for key in rows[0] if key not in ("kind", "label"))
    at = {row["label"]: (float(row[x]), float(row[y])) for row in rows if row["kind"] != "front"}
    front = [(float(row[x]), float(row[y])) for row in rows if row["kind"] == "front"]
    assert front == [(0.0, 2.0), (3.0, 0.0)]
    assert at["MinMax-DPO"] == (pytest.approx(1.2), pytest.approx(1.2))
    # Gains, in units of the largest, are 1 - w and w: Nash is in the middle, and so is leximin.
    assert at["Nash"] == (pytest.approx(1.5, abs=1e-3), pytest.approx(1.0, abs=1e-3))
    assert at["Leximin"] == (pytest.approx(1.5, abs=1e-3), pytest.approx(1.0, abs=1e-3))
    assert at["the common policy"] == (0.5, 1.9)


def test_a_study_under_its_headings(made, page):
    results = made[1]["study"]
    headings = [text.strip() for text in page.texts]
    places = [headings.index(words) for words in ("Aims", "Data-generating mechanisms", "Estimands", "Methods",
                                                  "Performance measures")]  # fmt: skip
    assert places == sorted(places)
    rows = page.table("study1-measures.csv")
    for row in rows:
        own = results.where(permuted=row["permuted"] == "True", violation=float(row["violation"]),
                            method=row["method"], metric=row["metric"]).values()  # fmt: skip
        assert float(row["mean"]) == own.mean()
        assert float(row["standard_error"]) == pytest.approx(own.std(ddof=1) / np.sqrt(len(own)))
        assert int(row["replicates"]) == 4
    assert len(rows) == 48


def test_a_drawn_figure_gives_its_numbers(made, page):
    """Read off the figure, against the results themselves."""
    rows = page.table("study-violation.csv")
    own = [row for row in rows if row["panel"].startswith("Sharing") and row["series"] == "each party alone"]
    for row in own:
        values = (
            made[1]["study"]
            .where(permuted=False, violation=float(row["x"]), method="separate", metric="error")
            .values()
        )
        assert float(row["y"]) == pytest.approx(values.mean())
        half = 3.182446 * values.std(ddof=1) / 2  # Student's quantile for 3 degrees of freedom, over the root of 4.
        assert float(row["high"]) - float(row["y"]) == pytest.approx(half, rel=1e-5)
    assert len(own) == 2


def test_a_run_side_by_side(made, page, tmp_path):
    rows = page.table("run-margins.csv")
    assert [float(row["value"]) for row in rows if row["group"] != "line"] == [2.0, -1.5, 0.125, -0.25]
    assert [float(row["low"]) for row in page.table("run-weights.csv")] == [0.5, 0.3]
    at = {row["label"]: row for row in page.table("run-front.csv") if row["kind"] == "policy"}
    first, second = (key for key in page.table("run-front.csv")[0] if key.startswith("regret"))
    own = [(float(row[first]), float(row[second])) for row in at.values()]
    assert own == [(0.0, 8.0), (12.5, 0.0)], "priorities are taken out again"
    assert "plain" in page.texts
    run_folder(tmp_path, examples=False)
    assert "kept none" in render(collect(tmp_path))


def test_an_evaluation_of_other_weights_is_said_to_be_one(tmp_path):
    """MinMax was asked again, with other priorities or samples: rows of one name are of other weights."""
    from llm.base.folder_format import read_stamped, stamped
    from llm.runs.run_folder import judged_files, outdated

    run_folder(tmp_path)
    evaluated, minmax = tmp_path / "eval.json", tmp_path / "minmax.json"
    content = read_stamped(evaluated, "")
    said = "the evaluation (eval.json) is of other MinMax weights or another direct policy"

    def shown():
        return render(collect(tmp_path)), outdated(tmp_path, read_stamped(evaluated, "")) or ""

    assert not any(said in text for text in shown()), "of before it kept what it judged"
    evaluated.write_text(json.dumps(stamped({**content, "judged": judged_files(tmp_path)})))
    assert not any(said in text for text in shown())
    minmax.write_text(json.dumps(stamped({**read_stamped(minmax, ""), "seed": 77})))
    assert all(f"{said}: minmax.json was made after it" in text for text in shown())
    evaluated.write_text(json.dumps(stamped({**content, "judged": {"direct.json": "0"} | judged_files(tmp_path)})))
    assert all(f"{said}: direct.json is gone" in text for text in shown())


def test_what_was_tampered_with_is_refused(tmp_path):
    run_folder(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(pl.InputError, match=r"metrics\.jsonl"):
        collect(tmp_path)
    run_folder(tmp_path)
    (tmp_path / "eval.json").write_text((tmp_path / "eval.json").read_text().replace("0.8", "0.9"))
    with pytest.raises(pl.InputError, match=r"eval\.json.*changed or damaged"):
        collect(tmp_path)


@pytest.mark.parametrize(
    ("make", "name", "said"),
    [
        (check_folder, "verdicts.json", "check` again"), (fit_folder, "fit.json", "fit` again"),
        (study_folder, "study.json", "study` again"), (run_folder, "eval.json", "eval` again"),
        (run_folder, "minmax.json", "minmax` again"), (run_folder, "mixture.json", "train` again"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("content", ["no json", "[]", "{}", WRONG])
def test_a_broken_file_is_one_line_and_no_page(make, name, said, content, tmp_path, monkeypatch, capsys):
    make(tmp_path)
    (tmp_path / name).write_text(content)
    code, out, err = typed(monkeypatch, capsys, "report", tmp_path, "--out", tmp_path / "page.html")
    assert (code, out) == (2, "")
    assert name in err
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "page.html").exists()


def test_absurd_sizes(tmp_path, monkeypatch, capsys):
    """Too large to read, too large a page, too many claims and too large a witness: refused, or cut and said."""
    checks = check_folder(tmp_path)
    monkeypatch.setattr(claims, "CLAIMS", 2)
    monkeypatch.setattr(claims, "WITNESS", 100)
    text = render(collect(tmp_path))
    assert "2 claims more are in" in text
    assert "Too large for a page" in text
    assert "regret-beta--as_printed.json" in text
    monkeypatch.setattr(build, "PAGE", 1000)
    with pytest.raises(pl.InputError, match="would make a page"):
        render(collect(tmp_path))
    code, _, err = typed(monkeypatch, capsys, "report", tmp_path)
    assert code == 2
    assert "would make a page" in err
    assert [path.name for path in tmp_path.iterdir()] == ["verdicts.json"], "no page, no figures"
    monkeypatch.setattr(build, "PAGE", limits.PAGE)
    monkeypatch.setattr(limits.require_size, "__defaults__", (1000,))
    with pytest.raises(pl.InputError, match="a page reads at most"):
        collect(tmp_path)
    assert len(checks) == 5


def test_results_are_found_by_what_they_hold(made, tmp_path):
    found = {result.name: result.kind for result in results_in(made[0])}
    assert found == {"check": "check", "faults": "mutations", "<i>fit": "fit", "study": "study", "run": "llm"}
    mutations_folder(tmp_path)
    with pytest.raises(pl.InputError, match=r"holds no verdicts\.json"):
        results_in(tmp_path)
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    fit_folder(deep)
    assert [result.name for result in results_in(tmp_path)] == [tmp_path.name, "a/b/c"]
    (tmp_path / "away").symlink_to(deep)
    assert all("away" not in result.name for result in results_in(tmp_path)), "a place counts once"


def test_results_that_links_lead_to_are_found(made, tmp_path):
    """Runs lie on a large disk and are linked into a folder; a link in a circle leads nowhere."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "fit").symlink_to(made[0] / "<i>fit")
    (tmp_path / "run").symlink_to(made[0] / "run", target_is_directory=True)
    (tmp_path / "runs" / "circle").symlink_to(tmp_path)
    (tmp_path / "nowhere").symlink_to(tmp_path / "not there")
    assert [(result.name, result.kind) for result in results_in(tmp_path)] == [("runs/fit", "fit"), ("run", "llm")]


def test_sources_are_named_with_their_digests(made):
    import hashlib

    sources = collect(made[0]).sources
    for file in sources.files:
        assert file.digest == hashlib.sha256((made[0] / file.name).read_bytes()).hexdigest()
    named = {file.name for file in sources.files}
    assert {"check/verdicts.json", "<i>fit/fit.json", "<i>fit/annotators.parquet", "study/results.parquet",
            "run/eval.json", "run/metrics.jsonl", "faults/mutations.json"} <= named  # fmt: skip


def test_report_of_several_writes_the_page_alone(made, monkeypatch, capsys, tmp_path):
    before = sorted(made[0].rglob("*"))
    told = typed_json(monkeypatch, capsys, "report", made[0], "--out", tmp_path / "page.html")
    assert sorted(made[0].rglob("*")) == before
    assert told["page"] == str(tmp_path / "page.html")
    assert {row["kind"] for row in told["results"]} == {"check", "mutations", "fit", "study", "llm"}
    code, out, _ = typed(monkeypatch, capsys, "report", made[0])
    assert code == 0
    assert (made[0] / "report.html").read_bytes() == (tmp_path / "page.html").read_bytes()
    assert "4 claims, 1 study, 1 fit, 1 run" in out
    (made[0] / "report.html").unlink()
    code, _, err = typed(monkeypatch, capsys, "report", made[0], "--out", made[0])
    assert code == 2
    assert "is a director" in err or "is a folder" in err


def test_a_fit_may_be_fitted_again_where_its_page_lies(tmp_path):
    from sim.fitting.save import require_writable

    fit_folder(tmp_path)
    (tmp_path / "report.html").write_text("")
    require_writable(tmp_path)
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(pl.InputError, match=r"mine\.txt"):
        require_writable(tmp_path)


def test_claims_of_others_are_not_looked_for(tmp_path, monkeypatch):
    """A folder that somebody sent must not choose what is imported."""
    (tmp_path / "sent.py").write_text("raise SystemExit('was run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    from dataclasses import replace

    from made_checks import CHECK, printed_and_corrected

    one = replace(printed_and_corrected()[0], claim_id="theirs", paper="sent")
    one = replace(one, witness=replace(one.witness, origin="sent:CLAIMS"))
    check_folder(tmp_path, [one, CHECK])
    (check,) = collect(tmp_path).checks
    (claim,) = [own for own in check.claims if own.claim_id == "theirs"]
    assert (claim.origin, claim.place) == ("sent:CLAIMS", "")
