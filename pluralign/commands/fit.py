"""`pluralign fit`."""

from __future__ import annotations

import json
import time
from typing import Any

import click


class TypesOption(click.ParamType):  # type: ignore[type-arg]  # generic only in newer click
    """A number from 1, or auto."""

    name = "K|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or value == "auto":
            return None
        try:
            number = int(value)
        except ValueError:
            self.fail(f"expected a number of types or auto, got '{value}'", param, ctx)
        if number < 1:
            self.fail(f"expected at least 1 type, got {number}", param, ctx)
        return number


class Positive(click.FloatRange):
    """A finite number above zero: FloatRange alone lets nan and inf pass."""

    def __init__(self) -> None:
        super().__init__(0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not 1e-9 <= number <= 1e9:
            self.fail(f"expected a number between 1e-9 and 1e9, got '{value}'", param, ctx)
        return number


@click.command("fit")
@click.argument("preferences", type=click.Path(dir_okay=False))
@click.option(
    "--method", default="em-dpo", show_default=True,
    type=click.Choice(["dpo", "em-dpo", "cluster-dpo", "personal", "shared", "cluster", "pooled"]),
    help="Policies: dpo, one for everybody; em-dpo, unobserved types; cluster-dpo, k-means on chosen items. Rewards: "
    "pooled; personal, one each; shared, one each over a common subspace; cluster, by whose reward explains one best.",
)  # fmt: skip
@click.option(
    "--types", "n_types", type=TypesOption(), default="auto", show_default=True,
    help="Number of types or clusters, or the rank of the subspace (shared).",
)  # fmt: skip
@click.option(
    "--max-types", type=click.IntRange(2, 50), default=8, show_default=True, help="Largest number auto tries."
)
@click.option("--out", type=click.Path(file_okay=False), default="fit", show_default=True, help="Result folder.")
@click.option(
    "--beta", type=Positive(), default=0.1, show_default=True,
    help="Temperature of the policies whose regret is reported (scores do not depend on it).",
)  # fmt: skip
@click.option("--ridge", type=Positive(), help="Strength of the shrinkage (default: chosen).")
@click.option(
    "--restarts", type=click.IntRange(1), default=10, show_default=True, help="Random starts of the final fit."
)
@click.option("--priorities", help="One positive number a group, separated by commas, for MinMax (default: all 1).")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--network", is_flag=True, help="With shared: also a learned representation (needs the llm extra).")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    preferences: str,
    method: str,
    n_types: int | None,
    max_types: int,
    out: str,
    beta: float,
    ridge: float | None,
    restarts: int,
    priorities: str | None,
    seed: int,
    network: bool,
    as_json: bool,
) -> None:
    """Find the groups hidden in a file of pairwise preferences, and a policy that serves all of them.

    PREFERENCES is Parquet or JSONL with columns chosen, rejected, annotator_id (and prompt, split, weight,
    chosen_features, rejected_features). The fit is log-linear in the items' features. The number of types (rank,
    clusters) and the shrinkage are chosen on held-out training answers; test answers are read once, at the end. Pooled
    DPO, k-means clusters, a coin and "the longer response" are scored beside it. The four reward methods are scored
    beside each other, also on new annotators after 5, 10, 20 and 40 answers of theirs.

    Example: pluralign fit pairs.parquet --method em-dpo --types auto --out groups
    """
    from typing import cast

    from sim.errors import InputError
    from sim.fitting.fit import FitSettings, Method, fit_preferences
    from sim.fitting.save import require_writable, save_fit
    from sim.preference_files import read_pairs

    began = time.monotonic()
    try:
        asked = None if priorities is None else tuple(float(part) for part in priorities.split(","))
    except ValueError:
        raise InputError(f"--priorities: expected numbers, got '{priorities}'", fix="write e.g. 1,2,4") from None
    if asked is not None and not all(0 < part < float("inf") for part in asked):
        raise InputError(f"--priorities: expected positive numbers, got '{priorities}'", fix="write e.g. 1,2,4")
    if asked is not None and n_types is not None and method != "dpo" and len(asked) != n_types:
        raise InputError(
            f"--priorities: expected {n_types} numbers, one a type, got {len(asked)}", fix="give one a type"
        )
    require_writable(out)
    if method in ("personal", "shared", "cluster", "pooled"):
        if asked is not None:
            raise InputError("--priorities: only policies of groups have them", fix=f"leave it out with {method}")
        _fit_personal(preferences, method, n_types, ridge, out, seed, network, as_json)
        return
    if network:
        raise InputError("--network: belongs to --method shared", fix="leave it out, or give --method shared")
    settings = FitSettings(
        method=cast(Method, method),
        n_types=n_types,
        max_types=max_types,
        restarts=restarts,
        ridge=ridge,
        beta=beta,
        priorities=asked,
        seed=seed,
    )
    table = read_pairs(preferences)
    report = fit_preferences(
        table, settings, lambda text: click.echo(f"[{time.monotonic() - began:5.1f} s] {text}", err=True)
    )
    save_fit(out, report, table)
    for warning in report.summary["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    answer = {**report.summary, "seed": seed, "seconds": round(time.monotonic() - began, 1), "out": out}
    click.echo(json.dumps(answer, indent=2, allow_nan=False) if as_json else fit_text(answer))


def _fit_personal(
    preferences: str,
    method: str,
    size: int | None,
    ridge: float | None,
    out: str,
    seed: int,
    network: bool,
    as_json: bool,
) -> None:
    from typing import cast

    from sim.errors import InputError
    from sim.fitting.personal import Method
    from sim.fitting.personal_report import PersonalSettings, fit_personal_preferences
    from sim.fitting.save import save_personal
    from sim.preference_files import read_pairs

    fitter = None
    if network:
        if method != "shared":
            raise InputError("--network: belongs to --method shared", fix="leave it out, or give --method shared")
        from pluralign.ownership import require_own_llm

        require_own_llm()
        try:
            from pluralign.network_fit import fit_prepared
        except ImportError as error:
            raise InputError(f"--network: {error}", fix="pip install 'pluralign[llm]'") from error
        fitter = fit_prepared
    began = time.monotonic()
    table = read_pairs(preferences)
    report = fit_personal_preferences(
        table,
        PersonalSettings(cast(Method, method), size, ridge, seed),
        lambda text: click.echo(f"[{time.monotonic() - began:5.1f} s] {text}", err=True),
        fitter,
    )
    save_personal(out, report, table)
    for warning in report.summary["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    answer = {**report.summary, "seed": seed, "seconds": round(time.monotonic() - began, 1), "out": out}
    click.echo(json.dumps(answer, indent=2, allow_nan=False) if as_json else personal_text(answer))


def personal_text(answer: dict[str, Any]) -> str:
    """A personal fit for a reader."""
    chosen = answer["selection"]["chosen"]
    sizes = {"shared": f"rank {chosen['shared']['size']}", "cluster": f"{chosen['cluster']['size']} clusters"}
    lines = [f"{answer['method']}" + (f", {sizes[answer['method']]}" if answer["method"] in sizes else "")]
    for users in ("known_users", "unseen_users"):
        test = answer["test"][users]
        lines += ["", f"{users.replace('_', ' ')}: {test['n_pairs']} held-out answers of {test['n_annotators']} people"]
        lines.append(_scored(answer["method"], test))
        lines += [_scored(name, row[users]) for name, row in answer["baselines"].items()]
    lines += ["", "gain over one reward for all, known users (nats a pair)"]
    for name, row in answer["against_pooled"].items():
        gain = row.get("known_users")
        if gain and gain["log_likelihood_interval"]:
            low, high = gain["log_likelihood_interval"]
            lines.append(f"  {name:<18} {gain['log_likelihood']:+.4f} [{low:+.4f}, {high:+.4f}]")
    if answer["new_users"]:
        names = list(answer["against_pooled"])
        lines += ["", "new users, gain after so many answers of theirs (reserved answers about other items)"]
        lines.append("  shown  " + "".join(f"{name:<30}" for name in names))
        for row in answer["new_users"]:
            cells = []
            for name in names:
                low, high = row[name]["gain_over_pooled_interval"] or (float("nan"), float("nan"))
                cells.append(f"{row[name]['gain_over_pooled']:+.4f} [{low:+.4f}, {high:+.4f}]".ljust(30))
            lines.append(f"  {row['answers_shown']:<6} " + "".join(cells).rstrip())
    for group in answer["groups"]:
        traits = ", ".join(
            f"{'more' if row['coefficient'] > 0 else 'less'} {row['feature']}" for row in group["against_pooled"][:4]
        )
        share = "" if group["share"] is None else f" {group['share']:.0%}"
        lines.append(f"  {group['group']}{share}: {traits}")
    lines.append(f"\nresults in {answer['out']}/")
    return "\n".join(lines)


def _scored(name: str, row: dict[str, Any]) -> str:
    if not row["n_pairs"]:
        return f"  {name:<18} no held-out answers"
    low, high = row["log_likelihood_interval"] or (float("nan"), float("nan"))
    return (
        f"  {name:<18} log-likelihood {row['log_likelihood']:.4f} [{low:.4f}, {high:.4f}]   "
        f"accuracy {row['accuracy']:.3f}"
    )


def fit_text(answer: dict[str, Any]) -> str:
    """The result for a reader."""
    lines = [f"{answer['method']} with {answer['n_types']} types (ridge {answer['selection']['chosen']['ridge']:g})"]
    for users in ("known_users", "unseen_users"):
        test = answer["test"][users]
        lines += ["", f"{users.replace('_', ' ')}: {test['n_pairs']} held-out answers of {test['n_annotators']} people"]
        lines.append(_scored(answer["method"], test))
        lines += [_scored(name, row[users]) for name, row in answer["baselines"].items()]
        gain = answer["differences"].get("dpo", {}).get(users)
        if gain and gain["log_likelihood_interval"]:
            low, high = gain["log_likelihood_interval"]
            lines.append(f"  gain over pooled DPO {gain['log_likelihood']:+.4f} nats a pair [{low:+.4f}, {high:+.4f}]")
    regret = answer["regret"]
    lines += ["", f"groups (regret of the policies at beta = {regret['beta']:g}, in reward units)"]
    for group, pooled, minmax in zip(answer["groups"], regret["pooled_dpo"], regret["minmax_dpo"], strict=True):
        traits = ", ".join(
            f"{'more' if row['coefficient'] > 0 else 'less'} {row['feature']}" for row in group["against_pooled"][:4]
        )
        lines.append(
            f"  group {group['group']}: {group['share']:.0%}, {group['n_annotators']} people; "
            f"against pooled: {traits or '-'}"
        )
        lines.append(f"    regret under pooled DPO {pooled:.3f}, under MinMax-DPO {minmax:.3f}")
    weights = ", ".join(f"{w:.3f}" for w in regret["minmax_weights"])
    lines.append(
        f"  MinMax weights {weights}; worst regret {regret['value']:.4f} "
        f"(LP {regret['lp_value']:.4f}, gap {regret['gap']:.1g})"
    )
    if regret["worst_group"]["minmax_dpo"] > regret["worst_group"]["pooled_dpo"]:
        lines.append(
            "  note: pooled DPO serves its worst group better than any mixture of the groups' policies; with it mixed "
            f"in (weight {regret['with_pooled']['weights'][-1]:.2f}) the worst regret is "
            f"{regret['with_pooled']['value']:.4f}"
        )
    lines.append(f"\nresults in {answer['out']}/")
    return "\n".join(lines)
