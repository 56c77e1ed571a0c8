"""`pluralign llm minmax`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pluralign.commands.llm_options import clock, config_options, numbers, training_warnings
from pluralign.terminal import print_answer

if TYPE_CHECKING:
    from llm.runs.minmax_runs import DirectReport, MinMaxReport


@click.command("minmax")
@click.argument("run", type=click.Path(file_okay=False))
@config_options
@click.option("--priorities", multiple=True, help="One positive number an adapter, e.g. 1,4; repeatable (default 1s).")
@click.option(
    "--prompts", type=click.IntRange(2), default=512, show_default=True, help="Training prompts to sample on."
)
@click.option("--samples", type=click.IntRange(1), default=1, show_default=True, help="Responses a prompt and adapter.")
@click.option("--rounds", type=click.IntRange(1), default=10_000, show_default=True, help="Rounds of optimistic Hedge.")
@click.option("--direct", is_flag=True, help="Also train one new policy against the worst group (no ensemble).")
@click.option("--model", type=click.Path(), help="Where the base lies now, if it was moved.")
@click.option(
    "--trained-on", multiple=True, type=click.Path(),
    help="Where a file of training lies now, if it was moved; repeatable.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--device", help="auto, cpu or cuda (default: the run's).")
def command(
    run: str,
    config: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
    priorities: tuple[str, ...],
    prompts: int,
    samples: int,
    rounds: int,
    direct: bool,
    model: str | None,
    trained_on: tuple[str, ...],
    seed: int,
    device: str | None,
) -> None:
    """Weigh a run's policies so that the worst-served group regrets least.

    Regrets are estimated from responses that each adapter samples (never from the annotated ones, which the
    reference wrote), with standard errors; the weights come from optimistic Hedge, with its duality gap beside the
    value of a linear program. Writes minmax.json and, for the first tuple, the weights in mixture.json. --config and
    --set are settings of --direct (steps, prompts, samples, rate, group_step, kl).

    Example: pluralign llm minmax run --priorities 1,1 --priorities 1,4
    """
    from llm.runs.minmax_runs import direct_run, minmax_run
    from llm.runs.open_run import open_run
    from llm.runs.run_folder import held_run, samples_journal
    from llm.runs.table_rows import distinct_priorities
    from llm.training.direct_saddle_point import SaddleSettings
    from sim.settings import read_settings

    asked = distinct_priorities([numbers("--priorities", text) for text in priorities])
    settings = read_settings(SaddleSettings, config, overrides)
    say = clock()
    with training_warnings(), held_run(run), samples_journal(run, "minmax", say) as journal:
        opened = open_run(run, model=model, device=device, trained_on=trained_on, journal=journal, progress=say)
        asked = asked or [(1.0,) * len(opened.policies)]
        report = minmax_run(opened, asked, prompts=prompts, samples=samples, rounds=rounds, seed=seed, progress=say)
        found = None
        if direct:
            found = direct_run(opened, settings, asked[0], prompts=prompts, samples=samples, seed=seed, progress=say)
    if as_json:
        content = report.as_json() if found is None else {**report.as_json(), "direct": found.as_json()}
        print_answer(json.dumps({**content, "out": run}, indent=2, allow_nan=False))
        return
    click.echo(minmax_text(report, found))


def minmax_text(report: MinMaxReport, direct: DirectReport | None = None) -> str:
    """The result for a reader."""
    lines = [f"regrets from {report.prompts} prompts, {report.samples} responses each, beta {report.beta:g}"]
    for row in report.tuples:
        weights = ", ".join(
            f"{name} {w:.3f} [{low:.2f}, {high:.2f}]"
            for name, w, (low, high) in zip(report.adapters, row.weights, row.weights_interval, strict=True)
        )
        regrets = ", ".join(f"{value:.3f}" for value in row.group_regret)
        tuple_text = ",".join(f"{c:g}" for c in row.priorities)
        lines.append(
            f"priorities {tuple_text}: weights {weights}\n  group regrets {regrets}; worst weighted {row.value:.4f} "
            f"(LP {row.lp_value:.4f}, gap {row.gap:.1g})"
        )
    if len(report.tuples) > 1:
        first = ",".join(f"{c:g}" for c in report.tuples[0].priorities)
        lines.append(f"the ensemble that is served has the weights of priorities {first}, the first (mixture.json)")
    if direct is not None:
        regrets = ", ".join(
            f"{value:.3f} +- {error:.3f}"
            for value, error in zip(direct.regret, direct.regret_standard_error, strict=True)
        )
        lines.append(
            f"direct saddle point: regrets {regrets}; worst {direct.worst_regret:.3f} against the ensemble's "
            f"{direct.ensemble_worst_regret:.3f}; KL to the reference {direct.kl_to_reference:.2f} nats"
        )
    return "\n".join(lines)
