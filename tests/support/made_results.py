"""Small result folders of every kind whose names are hostile: as text on a page they must do nothing."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from made_checks import CHECK, printed_and_corrected, rate

from llm.base.folder_format import checksums, stamped
from sim.files.atomic import write_json
from sim.studies.results import Results
from theory.engine.checks import ControlResult
from theory.engine.runner import CheckReport
from theory.engine.theorem import Premise
from theory.engine.verdicts import Verdict

HOSTILE = (
    "<img src=x onerror=window.hacked=1></script><script>window.hacked=1</script>\"'><b>{{7*7}}$\\frac{$\x1b[31m\u202e"
)


def check_folder(folder, further=()):
    """Two claims of ours, one of theirs with a hostile name, and one that is not as expected."""
    from dataclasses import replace

    hostile = replace(
        CHECK, claim_id=HOSTILE, paper=HOSTILE, statement=HOSTILE, source=HOSTILE, note=HOSTILE, departs=HOSTILE,
        departure_power=0.9, premises=(Premise(HOSTILE, True, 1.0, HOSTILE),),
        controls=(ControlResult(HOSTILE, Verdict.VIOLATED, True, 2.0, 0.9),),
    )  # fmt: skip
    odd = replace(CHECK, claim_id="bic-formula", verdict=Verdict.INCONCLUSIVE)
    checks = [*printed_and_corrected(), rate(), hostile, odd, *further]
    report = CheckReport(tuple(checks), "quick", 0, 1.0, 0)
    write_json(folder / "verdicts.json", report.as_json())
    return checks


def mutations_folder(folder):
    """One fault that regret-beta noticed."""
    row = {"id": "a-fault", "paper": "unobserved_types", "kind": "sign", "place": "sim.x:y", "what": HOSTILE,
           "killed_by": "regret-beta", "how": "verdict: as_corrected VIOLATED where HOLDS is expected"}  # fmt: skip
    write_json(folder / "mutations.json", {"mutants": [row]})


def fit_folder(folder):
    """Two types of texts, people and features with hostile names, as `fit` writes them."""
    score = {"n_pairs": 20, "n_annotators": 4, "accuracy": 0.8, "accuracy_interval": [0.7, 0.9],
             "log_likelihood": -0.4, "log_likelihood_interval": [-0.5, -0.3]}  # fmt: skip
    both = {"known_users": score, "unseen_users": {**score, "n_pairs": 0, "log_likelihood": None}}
    trait = {"feature": HOSTILE, "coefficient": 1.5, "standard_error": 0.25}
    few = {"gain_over_pooled_interval": None, "gain_over_pooled": 0.1}
    groups = [
        {"group": k, "share": share, "n_annotators": n, "against_pooled": [trait], "favourite_items": [HOSTILE],
         "examples": {"more": [HOSTILE], "less": ["plain"], "more_words": [HOSTILE], "less_words": []}}
        for k, share, n in ((1, 0.75, 3), (2, 0.25, 1))
    ]  # fmt: skip
    fit = {
        "format": 2, "method": "em-dpo", "n_types": 2, "mixture": [0.75, 0.25], "test": both,
        "baselines": {"dpo": both, "coin": both}, "groups": groups, "warnings": [HOSTILE],
        "titles": {"em-dpo": "EM-DPO", "dpo": HOSTILE}, "common": "dpo", "settings": {},
        "few_shot": [{"answers_shown": 0, **few}, {"answers_shown": 5, **few}],
        "selection": {"by": "held-out answers", "candidates": [
            {"method": "dpo", "size": 1, "held_out": -0.6}, {"method": "em-dpo", "size": 2, "held_out": -0.5}]},
        "counts": {"train_pairs": 40, "annotators": 4, "items": 9, "features": [HOSTILE], "held_out": "answers",
                   "answers": "pairs", "likelihood": "bradley-terry"},
        "regret": {"beta": 0.1, "priorities": [1.0, 2.0], "matrix": [[0.0, 3.0], [4.0, 0.0]],
                   "pooled_dpo": [0.5, 1.9], "minmax_dpo": [1.2, 1.2], "minmax_weights": [0.6, 0.4], "value": 2.4,
                   "with_pooled": {"weights": [0.1, 0.2, 0.7], "value": 2.2, "regret_per_group": [1.0, 1.1]}},
    }  # fmt: skip
    write_json(folder / "fit.json", fit)
    people = ["ann", "bob", HOSTILE, "dee"]
    gamma = [[1.0, 0.0], [0.95, 0.05], [0.75, 0.25], [0.125, 0.875]]
    columns = {"annotator_id": people, "group_1": [g[0] for g in gamma], "group_2": [g[1] for g in gamma]}
    pq.write_table(pa.table(columns), folder / "annotators.parquet")
    return fit, dict(zip(people, gamma, strict=True))


def study_folder(folder):
    """The violated representation at two levels, three seeds; the title is hostile."""
    rng = np.random.default_rng(0)
    rows = [
        {"cell_id": f"cell-{w}-{p}", "replicate": r, "method": method, "metric": metric,
         "value": float(rng.uniform(0.2, 1.0)), "seed_key": "0", "wall_s": 0.0, "status": "ok", "permuted": p,
         "violation": w}
        for w in (0.0, 0.5) for p in (False, True) for r in range(4)
        for method in ("shared", "separate", "pooled", "oracle") for metric in ("error", "error/rate", "own_loss")
    ]  # fmt: skip
    results = Results.from_rows(rows)
    results.write(folder / "results.parquet")
    study = {"experiment": "representation", "title": HOSTILE, "seed": 31, "replicates": 4, "figure": "violation",
             "settings": {"parties": 6}, "grid": {"permuted": [False, True], "violation": [0.0, 0.5]}, "skipped": {},
             "failed": []}  # fmt: skip
    write_json(folder / "study.json", study)
    return results


def run_folder(folder, *, examples=True):
    """A run of two groups, evaluated, with what its policies wrote."""

    def served(first, second):
        rows = {}
        for metric, values in (("accuracies", first), ("margins", second)):
            for g, value in enumerate(values):
                rows |= {f"rewards/{metric}/group_{g}": value,
                         f"rewards/{metric}_interval/group_{g}": [value - 0.1, value + 0.1]}  # fmt: skip
        return rows

    worst = {"words": 9.0, "scores": {}, "worst_regret/implicit": {"mean": 2.0, "interval": [1.5, 2.5], "group": 1}}
    groups = [{"group": 0, "adapter": "group_0", "name": HOSTILE, "n_annotators": 40},
              {"group": 1, "adapter": "group_1", "name": "other", "n_annotators": 20}]  # fmt: skip
    found = {
        "groups": groups, "policies": {"em-dpo/group_0": served((0.8, 0.3), (2.0, -1.5)),
                                       HOSTILE: served((0.55, 0.45), (0.125, -0.25))},
        "sampled": {"reference": worst, "em-dpo/group_0": worst},
    }  # fmt: skip
    if examples:
        found["examples"] = [{"prompt": HOSTILE, "responses": {"reference": "plain", "em-dpo/group_0": HOSTILE}}]
    write_json(folder / "eval.json", stamped(found))
    minmax = {"tuples": [{"priorities": [1.0, 4.0], "weights": [0.6, 0.4], "weights_interval": [[0.5, 0.7], [0.3, 0.5]],
                          "regret": [[0.0, 0.0], [0.0, 12.5], [32.0, 0.0]]}]}  # fmt: skip
    write_json(folder / "minmax.json", stamped(minmax))
    write_json(folder / "run.json", stamped({"n_annotators": 60, "notes": [HOSTILE], "status": HOSTILE}))
    rounds = [{"phase": "round", "types": 2, "round": k, "held_out_log_likelihood": -0.6 + 0.125 * k} for k in range(3)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rounds))
    pq.write_table(pa.table({"annotator_id": [HOSTILE, "bob"], "n_answers": [3, 4], "group_0": [0.9, 0.2],
                             "group_1": [0.1, 0.8]}), folder / "responsibilities.parquet")  # fmt: skip
    names = ["metrics.jsonl", "responsibilities.parquet"]
    mixture = {"method": "em-dpo", "beta": 0.1, "adapters": ["group_0", "group_1"], "mixture": [0.75, 0.25],
               "files": checksums(folder, names)}  # fmt: skip
    write_json(folder / "mixture.json", stamped(mixture))
    return found


def everything(folder):
    """A folder of one result of each kind; their own folders' names are hostile too."""
    made = {}
    for name, make in (("check", check_folder), ("faults", mutations_folder), ("<i>fit", fit_folder),
                       ("study", study_folder), ("run", run_folder)):  # fmt: skip
        (folder / name).mkdir(parents=True)
        made[name] = make(folder / name)
    return made
