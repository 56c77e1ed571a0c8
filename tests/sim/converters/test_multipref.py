"""MultiPref: a pair a worker, ties and strengths kept."""

import pytest
from converting import made_of, printed, put, same_in_every_form, without

from sim.errors import InputError


def compared(normal, expert, **more):
    def notes(kind, said):
        return [
            {"evaluator": f"{kind}{j}", "overall_pref": word, "harmless_pref": "Tie"} for j, word in enumerate(said)
        ]

    return {
        "comparison_id": "c0", "prompt_id": "p0", "text": "question", "completion_a": "A", "completion_b": "B",
        "model_a": "x", "model_b": "y", "normal_worker_annotations": notes("n", normal),
        "expert_worker_annotations": notes("e", expert), **more,
    }  # fmt: skip


ROW = compared(["A-is-clearly-better", "Tie"], ["B-is-slightly-better", "A-is-slightly-better"])


def test_row_by_row(tmp_path):
    made = made_of("multipref", tmp_path, [ROW])
    assert [(r["chosen"], r["rejected"], r["tie"], r["strength"], r["annotator_id"], r["group_id"])
            for r in made.rows] == [
        ("A", "B", False, 2, "n0", "normal"), ("A", "B", True, None, "n1", "normal"),
        ("B", "A", False, 1, "e0", "expert"), ("A", "B", False, 1, "e1", "expert"),
    ]  # fmt: skip
    assert {r["prompt"] for r in made.rows} == {"question"}
    assert same_in_every_form("multipref", tmp_path, [ROW])


def test_another_aspect(tmp_path):
    assert made_of("multipref", tmp_path, [ROW], aspect="harmless").ties == 4
    with pytest.raises(InputError, match=r"found no answers \(4 left out: annotations that say nothing on truthful\)"):
        made_of("multipref", tmp_path, [ROW], aspect="truthful")


def test_equal_completions_are_left_out_and_counted(tmp_path):
    made = made_of("multipref", tmp_path, [ROW, compared(["Tie"], [], completion_b="A")])
    assert (len(made), made.left_out) == (4, {"both responses are the same": 1})


def test_a_bad_annotation_is_named_and_costs_no_other(tmp_path):
    row = compared(["A-is-clearly-better", "better"], ["Tie"])
    with pytest.raises(InputError, match="row 2, field 'overall_pref': expected A-is-clearly-better"):
        made_of("multipref", tmp_path, [ROW, row])
    made = made_of("multipref", tmp_path, [ROW, row], skip_bad=True)
    assert (len(made), made.left_out) == (6, {"bad row, field 'overall_pref'": 1})


def test_a_file_that_is_another_set(tmp_path):
    with pytest.raises(
        InputError, match=r"field 'expert_worker_annotations': the column is missing .*as it is publish"
    ):
        made_of("multipref", tmp_path, [without(ROW, "expert_worker_annotations", "normal_worker_annotations_")])
    other = {"history": "h", "human_ref_A": "a", "human_ref_B": "b", "labels": 1}
    with pytest.raises(InputError, match="it looks like pluralign convert shp"):
        made_of("multipref", tmp_path, [other])


def test_licence_and_losses_are_printed(tmp_path):
    said = printed(tmp_path, "multipref", put(tmp_path, [ROW]), "--out", tmp_path / "o.parquet")
    assert "4 pairs of 4 annotators, 1 of them ties" in said
    assert "ODC-BY" in said
    assert "the time they took" in said
