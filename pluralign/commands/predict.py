"""`pluralign predict`."""

from __future__ import annotations

import json
import warnings

import click


@click.command("predict")
@click.argument("fit", type=click.Path(file_okay=False), metavar="FIT")
@click.argument("file", type=click.Path(), metavar="ITEMS_OR_PAIRS")
@click.option("--annotator", "annotators", multiple=True, metavar="NAME", help="Whose scores of items; repeatable.")
@click.option(
    "--answers", type=click.Path(),
    help="Answers of new annotators: they are adapted to, nothing is refitted, and known from then on.",
)  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False), help="Also write the rows to this Parquet file.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    fit: str, file: str, annotators: tuple[str, ...], answers: str | None, out: str | None, as_json: bool
) -> None:
    """Use a fit: probabilities of pairs, scores of items, also for new annotators.

    FIT is a folder of `pluralign fit`. ITEMS_OR_PAIRS is Parquet or JSONL, with the features that were fitted, in their
    own units: pairs (chosen, rejected, annotator_id, chosen_features, rejected_features) get the chance that chosen is
    preferred; items (item, features) the log-odds of being preferred to the mean training item. A fit of texts (fit
    --features words and the like) makes its features of the texts that chosen, rejected or item are.

    Example: pluralign predict groups new_films.parquet --annotator 414
    """
    from pluralign.api.fits import load_fit
    from pluralign.flags import with_flags
    from sim.files.atomic import require_place

    with with_flags({"annotators": "--annotator", "annotator": "--annotator"}):
        if out is not None:
            require_place(out)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            model = load_fit(fit)
        for warning in told:
            click.echo(f"warning: {warning.message}", err=True)
        if answers is not None:
            model = model.assign(answers)
        found = model.predict(file, annotators)
    if out is not None:
        found.save(out)
    if found.strangers:
        click.echo(f"{len(found.strangers)} annotators are not in the fit: predicted as strangers", err=True)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2, allow_nan=False))
        return
    rows = found.rows
    shown = sorted(rows, key=lambda row: -row["score"])[:20] if found.kind == "items" else rows[:20]
    for row in shown:
        who = "" if row["annotator_id"] is None else f"  {row['annotator_id']:<16}"
        what = row["item"] if found.kind == "items" else f"{row['chosen']}  over  {row['rejected']}"
        click.echo(f"{row[found.value_name]:+8.4f}{who}  {what}")
    if len(rows) > len(shown):
        click.echo(f"({len(shown)} of {len(rows)} rows; --out FILE.parquet or --json gives all)")
