"""Ties, strengths, rankings and ratings through `llm train`, `minmax` and `eval`: what is said reaches the policies."""

import json
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner  # noqa: E402
from tiny_llm import score, sentence, tiny  # noqa: E402, F401

from pluralign.__main__ import command  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.streams import Stream  # noqa: E402

FAST = [
    "--set", "threads=1", "--set", "training.rate=2e-3", "--set", "training.batch=16", "--set", "training.epochs=3",
    "--set", "lora.rank=4", "--set", "groups.rounds=1", "--set", "sampling.max_new_tokens=6", "--device", "cpu",
]  # fmt: skip


def _run(*arguments):
    result = CliRunner().invoke(command, ["llm", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def _write(path, kind, people=9, answers=20):
    """Every third person prefers bad words; of sets of responses with distinct texts."""
    rows = []
    for i in range(people):
        sign = -1 if i % 3 == 2 else 1
        for j in range(answers):
            own = Stream(2, "kinds").at(replicate=100 * i + j)
            texts = list(dict.fromkeys(" " + sentence(own.child(f"{k}")) for k in range(6)))[:3]
            liked = [sign * score(text) for text in texts]
            row = {
                "prompt": sentence(own.child("prompt")),
                "annotator_id": f"a{i}",
                "group_id": "good" if sign > 0 else "bad",
            }
            if kind == "rankings":
                row |= {"responses": texts, "ranking": (1 + np.argsort(np.argsort([-x for x in liked]))).tolist()}
            elif kind == "choices":
                row |= {"responses": texts, "choice": int(np.argmax(liked))}
            elif kind == "ratings":
                row |= {"responses": texts, "scores": liked}
            else:
                better, worse = (0, 1) if liked[0] >= liked[1] else (1, 0)
                row |= {"chosen": texts[better], "rejected": texts[worse], "tie": liked[0] == liked[1]}
                if kind == "strengths":
                    row["strength"] = None if row["tie"] else abs(liked[0] - liked[1])
            rows.append(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


LIKELIHOODS = {
    "ties": "davidson", "strengths": "cumulative-logit", "choices": "plackett-luce", "rankings": "plackett-luce",
    "ratings": "davidson",
}  # fmt: skip


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_groups_are_found_by_answers_of_every_kind(tiny, tmp_path, kind):  # noqa: F811
    data = _write(tmp_path / "answers.jsonl", kind)
    out = tmp_path / "run"
    asked = ["--set", f"data.likelihood={LIKELIHOODS[kind]}"] if kind == "rankings" else []
    said = _run(
        "train", "--model", tiny, "--data", data, "--out", out, "--set", "data.unseen=0.2", *asked, *FAST
    ).stdout
    found = json.loads((out / "run.json").read_text())
    assert found["likelihood"] == LIKELIHOODS[kind]
    assert found["adjusted_rand_index"] == 1.0
    # As many outcomes as there are, one as likely as another: of strengths two levels either way and a tie; of ratings
    # of three, three comparisons that weigh as much as two.
    outcomes = {"ties": 3, "strengths": 5, "choices": 3, "rankings": 6, "ratings": 9}[kind]
    assert found["new_prompts_coin"] == pytest.approx(-np.log(outcomes), abs=1e-9)
    assert re.search(r"held-out log-likelihood .* nats an answer.* on new prompts "
                     rf"\(a coin: {-np.log(outcomes):.4f}\)", said)  # fmt: skip
    card = (out / "group_0" / "README.md").read_text()
    assert f"a coin: {-np.log(outcomes):.4f}" in card
    names = {"ties": ["tie"], "ratings": ["tie"], "strengths": ["tie | strength 1", "strength 1 | strength 2"]}
    assert list(found["constants"]) == names.get(kind, [])
    assert all(np.isfinite(list(found["constants"].values())))
    rounds = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rounds if row["phase"] == "round"][-1]
    assert ("constants" in last) == bool(found["constants"])
    if kind in ("ties", "rankings"):
        table = json.loads(_run("minmax", out, "--prompts", 4, "--device", "cpu", "--json").stdout)
        assert sum(table["tuples"][0]["weights"]) == pytest.approx(1.0)
        judged = json.loads(_run("eval", out, "--prompts", 4, "--twin", 0, "--device", "cpu", "--json").stdout)
        counts = [judged["policies"]["em-dpo/group_0"][f"n_pairs/group_{k}"] for k in range(2)]
        rows = [json.loads(line) for line in data.read_text().splitlines()]
        told = [row for row in rows if not row.get("tie")]
        assert 0 < sum(counts) < len(told), "ties are not answers that a policy can be right about"
    if kind == "rankings":
        others = _write(tmp_path / "others.jsonl", "ties", people=3)
        others.write_text(others.read_text().replace('"annotator_id": "a', '"annotator_id": "other'))
        options = ["--data", others, "--prompts", 4, "--twin", 0, "--device", "cpu", "--json"]
        judged = json.loads(_run("eval", out, *options).stdout)["policies"]["em-dpo/group_0"]
        rows = [json.loads(line) for line in others.read_text().splitlines()]
        assert sum(judged[f"n_pairs/group_{k}"] for k in range(2)) == sum(not row["tie"] for row in rows)


def test_what_a_likelihood_leaves_out_is_said(tiny, tmp_path):  # noqa: F811
    data = _write(tmp_path / "answers.jsonl", "strengths")
    said = _run(
        "train", "--model", tiny, "--data", data, "--out", tmp_path / "run", "--method", "dpo", *FAST,
        "--set", "data.likelihood=bradley-terry", "--set", "groups.rounds=0",
    ).stderr  # fmt: skip
    assert "rows that are ties, left out" in said
    assert "strength says nothing to the likelihood bradley-terry" in said
    with pytest.raises(InputError, match="likelihood: plackett-luce is not for pairs"):
        _run("train", "--model", tiny, "--data", data, "--out", tmp_path / "other", *FAST,
             "--set", "data.likelihood=plackett-luce")  # fmt: skip


def test_grades_of_one_response_are_refused(tiny, tmp_path):  # noqa: F811
    path = tmp_path / "grades.jsonl"
    path.write_text("".join(
        json.dumps({"prompt": "The film", "response": f"was {j}", "score": j % 3, "annotator_id": "a"}) + "\n"
        for j in range(6)
    ))  # fmt: skip
    with pytest.raises(InputError, match=r"grades.jsonl: the answers are grades of one response each"):
        _run("train", "--model", tiny, "--data", path, "--out", tmp_path / "run", *FAST)


def test_a_set_with_a_response_that_is_too_long_is_dropped_or_cut(tiny, tmp_path):  # noqa: F811
    data = _write(tmp_path / "answers.jsonl", "rankings", people=3, answers=6)
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    rows[0]["responses"][1] = " was great." * 40
    rows[7]["prompt"] = "The film was long. " * 40
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = ["train", "--model", tiny, "--data", data, "--method", "dpo", *FAST, "--set", "groups.rounds=0",
              "--set", "data.window=48"]  # fmt: skip
    with pytest.raises(InputError, match=r"row 1, field 'prompt': prompt and response have \d+ tokens"):
        _run(*common, "--out", tmp_path / "a")
    said = _run(*common, "--out", tmp_path / "b", "--set", "data.too_long=drop").stderr
    assert "2 rows with responses longer than the window of 48 tokens, dropped" in said
    said = _run(*common, "--out", tmp_path / "c", "--set", "data.too_long=truncate").stderr
    assert "1 rows longer than the window of 48 tokens: prompts cut from the left" in said
    assert "responses cut at their end" in said
