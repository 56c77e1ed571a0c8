"""`pluralign llm eval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pluralign.commands.llm_options import clock, training_warnings
from pluralign.terminal import print_answer


@click.command("eval")
@click.argument("run", type=click.Path(file_okay=False))
@click.option(
    "--against", multiple=True, type=click.Path(file_okay=False), help="Another run on the same base; repeatable."
)
@click.option(
    "--data", type=click.Path(),
    help="Preferences to evaluate on (default: the run's unseen annotators, else held-out answers).",
)  # fmt: skip
@click.option(
    "--pairs", "made", type=click.Path(file_okay=False), help="Folder of llm make-imdb: its scorers are used."
)
@click.option(
    "--scorer", "scorers", multiple=True, metavar="GROUP=SCORER",
    help="sentiment, lexicon, grammar, length, or another scorer of llm make-tastes; repeatable.",
)  # fmt: skip
@click.option("--prompts", type=click.IntRange(2), default=256, show_default=True, help="Prompts to sample on.")
@click.option("--samples", type=click.IntRange(1), default=1, show_default=True, help="Responses a prompt and policy.")
@click.option("--twin", type=click.IntRange(0), default=20, show_default=True, help="Replicates of the tabular twin.")
@click.option("--model", type=click.Path(), help="Where the base lies now, if it was moved.")
@click.option(
    "--trained-on", multiple=True, type=click.Path(),
    help="Where a file of training lies now, if it was moved; repeatable.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--device", help="auto, cpu or cuda (default: the run's).")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    run: str,
    against: tuple[str, ...],
    data: str | None,
    made: str | None,
    scorers: tuple[str, ...],
    prompts: int,
    samples: int,
    twin: int,
    model: str | None,
    trained_on: tuple[str, ...],
    seed: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Evaluate a run on annotators nobody trained on: accuracy, margins, sampled quality, regret.

    Without such annotators it is evaluated on answers held out from those it was trained on, and says so.
    Numbers have 95 % limits: over annotators for accuracies and margins, over prompts for samples; by the bootstrap
    of 20 or more, by Student's t of fewer; where few differ they are wider, and of what has no edges none where all
    are the same. Those of worst regrets allow for ties.
    Runs given by --against (a pooled one, clusters) lie beside it in every table and figure. Writes eval.json and
    figures (PNG, SVG) into the run's folder.

    Example: pluralign llm eval run --against pooled --against clusters --pairs pairs
    """
    from llm.base.folder_format import stamped
    from llm.data.preference_text import load_answers
    from llm.runs.evaluation import evaluate
    from llm.runs.open_run import open_run
    from llm.runs.run_figures import draw_run
    from llm.runs.run_folder import held_run, judged_files, read_annotators, samples_journal
    from llm.runs.twin_of_run import twin_of
    from llm.scorers.named_scorers import scorers_of
    from sim.errors import InputError
    from sim.files.atomic import write_json

    judges = scorers_of(made, scorers)
    say = clock()
    with training_warnings(), held_run(run), samples_journal(run, "eval", say) as journal:
        opened = open_run(run, model=model, device=device, trained_on=trained_on, journal=journal, progress=say)
        others: dict[str, Any] = {}
        for number, place in enumerate(against):
            # Responses of other lengths or temperatures say nothing of the policies that wrote them.
            other = open_run(
                place, sampling=opened.settings.sampling, beside=opened, prefix=f"other{number}_", journal=journal,
                progress=say,
            )  # fmt: skip
            ours, its = opened.settings.sampling, other.settings.sampling
            if (ours.max_new_tokens, ours.temperature) != (its.max_new_tokens, its.temperature):
                say(
                    f"note: {place} is sampled as {run} is: max_new_tokens {ours.max_new_tokens}, temperature "
                    f"{ours.temperature:g} (its own are {its.max_new_tokens} and {its.temperature:g})"
                )
            label = other.mixture.method
            if label in others or label == opened.mixture.method:
                label = Path(place).name
            if label in others or label == opened.mixture.method:
                raise InputError(f"two runs are called {label}", file=place, fix="rename a folder")
            others[label] = other
        answers = None
        judged = judged_files(Path(run))
        notes: list[str] = []
        if data is not None:
            answers = load_answers(
                data, opened.settings.data, opened.tokenizer, opened.base.store, opened.mixture.window, notes.append
            )  # fmt: skip
            for note in notes:
                say(f"note: {note}")
            overlap = set(answers.annotators) & set(read_annotators(Path(run)))
            if overlap and not opened.settings.data.same_annotators:
                raise InputError(
                    f"{len(overlap)} annotators are in the training data (the first is {min(overlap)})", file=data,
                    field="annotator_id", fix="evaluate on others, or train with data.same_annotators=true",
                )  # fmt: skip
        found = evaluate(
            opened, others, answers=answers, scorers=judges, named=[text.partition("=")[0] for text in scorers],
            prompts=prompts, samples=samples, seed=seed, progress=say,
        )  # fmt: skip
        beside = twin_of(opened, others, found, twin, seed, say, answers)
        content = {
            "run": run,
            "against": list(others),
            "seed": seed,
            "notes": notes,
            "judged": judged,
            **found.as_json(),
        }
        if beside is not None:
            content["twin"] = beside.as_json()
        write_json(Path(run) / "eval.json", stamped(content))
        figures = draw_run(Path(run))
    if as_json:
        print_answer(json.dumps({**content, "figures": [str(path) for path in figures]}, indent=2, allow_nan=False))
        return
    click.echo(eval_text(content))
    click.echo("\nfigures: " + ", ".join(str(path) for path in figures if path.suffix == ".png"))


def _cell(value: float | None, interval: list[float] | None, digits: int = 3) -> str:
    if value is None:
        return "-"
    if interval is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def eval_text(content: dict[str, Any]) -> str:
    """The tables for a reader."""
    groups = content["groups"]
    lines = [f"groups: {content['groups_from']}"]
    lines += [
        f"  group {g['group']} ({g['name']}): {g['n_annotators']} annotators, adapter {g['adapter']}" for g in groups
    ]
    width = max(len(name) for name in content["policies"])
    lines.append(
        f"\naccuracy on {content['answers_from']}\n  "
        + " " * width
        + "".join(f"  {'group ' + str(g['group']):<24}" for g in groups)
    )
    for name, row in content["policies"].items():
        cells = [
            _cell(row[f"rewards/accuracies/group_{g['group']}"], row[f"rewards/accuracies_interval/group_{g['group']}"])
            for g in groups
        ]
        lines.append(f"  {name:<{width}}  " + "  ".join(f"{cell:<24}" for cell in cells))
    for row in content["own_group"]:
        lines.append(
            f"  {row['policy']} minus {row['against']} on group {row['group']}: "
            f"{_cell(row['accuracy'], row['accuracy_interval'])}"
        )
    # A policy that several groups share is nobody's own: what is told is how others compare with it.
    one = len({g["adapter"] for g in groups}) == 1
    regret = "regret against the run's one policy" if one else "worst group's regret"
    lines.append(
        f"\nsamples on {content['n_prompts']} prompts: {regret} (implied; by scorer, in sd), "
        "less what the largest mean is too large by chance"
    )
    for name, row in content["sampled"].items():
        implied = row["worst_regret/implicit"]
        scored = row.get("worst_regret/scored")
        scores = ", ".join(f"{key} {value['mean']:.3f}" for key, value in row["scores"].items())
        lines.append(
            f"  {name:<{width}}  {_cell(implied['estimate'], implied['interval']):<24} "
            f"{'' if scored is None else _cell(scored['estimate'], scored['interval']):<24} {scores}"
        )
    for row in content["worst_regret_differences"]:
        implied = _cell(row["implicit"]["estimate"], row["implicit"]["interval"])
        text = f"  {row['policy']} minus {row['against']}: implied {implied}"
        if "scored" in row:
            text += f", by scorer {_cell(row['scored']['estimate'], row['scored']['interval'])}"
        lines.append(text)
    if "twin" in content:
        twin, compared = content["twin"], content["twin"]["comparison"]
        predicted = ", ".join(
            _cell(w, interval)
            for w, interval in zip(twin["weights"]["median"], twin["weights"]["interval"], strict=True)
        )
        run = ", ".join(f"{w:.3f}" for w in compared["run_weights"])
        tau = compared["kendall_tau"]
        lines.append(
            f"\ntabular twin ({twin['cells']} cells, {twin['replicates']} replicates): weights {predicted}; "
            f"the run's {run}; order of regrets: Kendall's tau {'-' if tau is None else format(tau, '.2f')}"
        )
        ratios = twin["ratios"]
        tau, left = ratios["kendall_tau"], min(ratios["effective_responses"].values())
        lines.append(
            f"ratios of {ratios['responses']:.1f} responses a prompt (worth {left:.1f}): weights "
            f"{', '.join(format(w, '.3f') for w in ratios['weights'])}; order of regrets: Kendall's tau "
            f"{'-' if tau is None else format(tau, '.2f')}"
        )
    return "\n".join(lines)
