"""`pluralign predict`."""

from __future__ import annotations

import json
import warnings

import click

from pluralign.terminal import print_answer

_FLAGS = {"annotators": "--annotator", "annotator": "--annotator", "by_type": "--by-type", "answers": "--answers"}


@click.command("predict")
@click.argument("fit", type=click.Path(file_okay=False), metavar="FIT")
@click.argument("file", type=click.Path(), metavar="ITEMS_PAIRS_OR_SETS")
@click.option(
    "--annotator", "annotators", multiple=True, metavar="NAME", help="Whose scores of items or choices; repeatable."
)
@click.option("--by-type", is_flag=True, help="Of each type or cluster in place of annotators.")
@click.option(
    "--answers", type=click.Path(),
    help="Answers of new annotators: they are adapted to, nothing is refitted, and known from then on.",
)  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False), help="Also write the rows to this Parquet file.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    fit: str, file: str, annotators: tuple[str, ...], by_type: bool, answers: str | None, out: str | None, as_json: bool
) -> None:
    """Use a fit: probabilities of pairs and of responses offered together, scores of items, also for new annotators.

    FIT is a folder of `pluralign fit`. The file is Parquet or JSONL, with the features that were fitted, in their own
    units: pairs (chosen, rejected, annotator_id, chosen_features, rejected_features) get the chance that chosen is
    preferred, and that neither is where the fit knows ties; sets (responses, features, perhaps prompt and annotator_id)
    the chance of each response to be taken, and of none of them where the fit has that; items (item, features) the
    log-odds of being preferred to the mean training item. A fit of texts (fit --features words and the like) makes its
    features of the texts themselves.

    Example: pluralign predict groups new_films.parquet --annotator 414
    """
    from pluralign.api.fits import load_fit
    from pluralign.flags import with_flags
    from sim.errors import InputError
    from sim.files.atomic import require_other, require_place
    from sim.files.file_rows import require_ending

    # Of types the names are given here: what is said of them is said of the flag.
    with with_flags({**_FLAGS, "annotators": "--by-type"} if by_type and not annotators else _FLAGS):
        if out is not None:
            require_place(out)
            require_other(out, fit, file, answers)
            require_ending(out, ".parquet")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            model = load_fit(fit)
        for warning in told:
            click.echo(f"warning: {warning.message}", err=True)
        if answers is not None:
            model = model.assign(answers)
        if by_type:
            if annotators or answers is not None:
                problem = f"by_type: {'annotators' if annotators else 'answers'} are given too"
                raise InputError(problem, fix="ask of types, or of annotators")
            model = model.by_type()
            annotators = model.annotators
        found = model.predict(file, annotators)
    if out is not None:
        found.save(out)
    if found.strangers:
        from sim.counted import are, counted

        many = len(found.strangers)
        click.echo(f"{counted(many, 'annotators')} {are(many)} not in the fit: predicted as strangers", err=True)
    if as_json:
        print_answer(json.dumps(found.as_dict(), indent=2, allow_nan=False))
        return
    rows = found.rows
    shown = sorted(rows, key=lambda row: -row["score"])[:20] if found.kind == "items" else rows[:20]
    for row in shown:
        who = "" if row["annotator_id"] is None else f"  {row['annotator_id']:<16}"
        if found.kind == "sets":
            click.echo(f"{row['probability']:8.4f}{who}  set {row['set']:<4} {row['response']}")
            continue
        what = row["item"] if found.kind == "items" else f"{row['chosen']}  over  {row['rejected']}"
        tie = f"  (tie {row['tie']:.4f})" if "tie" in row else ""
        click.echo(f"{row[found.value_name]:+8.4f}{who}  {what}{tie}")
    if len(rows) > len(shown):
        click.echo(f"({len(shown)} of {len(rows)} rows; --out FILE.parquet or --json gives all)")
