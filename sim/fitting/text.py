"""A fit as text: what `pluralign fit` prints and `pluralign report` repeats, whatever the method."""

from __future__ import annotations

from collections.abc import Mapping

from sim.answer_kinds.events import TIE
from sim.answer_kinds.kinds import TIED_PAIRS
from sim.counted import counted
from sim.files.atomic import Json
from sim.files.pair_table import NONE_OF_THEM
from sim.fitting.cross_validation import FEW_PEOPLE, LEAST_PEOPLE
from sim.fitting.text_features.told import example_lines, features_lines, words_of_group
from sim.fitting.told_numbers import NO_INTERVAL, interval_text


def fit_text(fit: Mapping[str, Json], out: str) -> str:
    """The result for a reader; fit: the object of `--json`, out: its folder."""
    chosen = fit["selection"]["chosen"].get(fit["method"], {})
    size, ridge = chosen.get("size", chosen.get("rank", 0)), chosen.get("ridge")
    head = fit["method"] + (f", size {size}" if size else "") + ("" if ridge is None else f", ridge {ridge:g}")
    if "full_parameters" in fit.get("fit", {}):
        head += f" ({fit['fit']['parameters']} numbers; full rank {fit['fit']['full_parameters']})"
    lines = [head, *_data_lines(fit)]
    if "features" in fit:
        lines += features_lines(fit["features"])
    common = fit["titles"].get(fit["common"], fit["common"])
    for users in ("known_users", "unseen_users"):
        test = fit["test"][users]
        held_out = f"{counted(test['n_pairs'], 'held-out answers')} of {counted(test['n_annotators'], 'people')}"
        lines += ["", f"{users.replace('_', ' ')}: {held_out}"]
        lines.append(_scored(fit["method"], test))
        lines += [_scored(name, row[users]) for name, row in fit["baselines"].items()]
        lines += _gain_lines(fit, users, common)
    lines += _new_annotator_lines(fit, common)
    lines += _cross_validation_lines(fit, common)
    if "premise" in fit:
        lines += ["", fit["premise"]]
    if "levels" in fit:
        lines += ["", _levels_line(fit["levels"])]
    for group in fit["groups"]:
        lines += [_group_line(group), *example_lines(group.get("examples"))]
    lines += _regret_lines(fit)
    if fit.get("serving"):
        lines += ["", *_serving_lines(fit["serving"])]
    if any(NO_INTERVAL in line for line in lines):
        lines += ["", f"{NO_INTERVAL} no interval: it is over annotators, and needs two who are not the same"]
    lines.append(f"\nresults in {out}/")
    return "\n".join(lines)


def _data_lines(fit: Mapping[str, Json]) -> list[str]:
    """What is easily overlooked: answers that are neither trained on nor scored, what of the others is not used, and a
    fit without features."""
    counts = fit["counts"]
    lines = [
        f"{why if why == TIED_PAIRS else f'rows {why}'}, left out: {count}"
        for why, count in counts.get("left_out", {}).items()
    ]
    lines += [f"{what}: {count}" for what, count in counts.get("noted", {}).items()]
    lines += [f"the column '{name}' is not used: every answer counts alike" for name in counts.get("unused", [])]
    lines += _likelihood_lines(counts)
    if counts.get("own_split"):
        lines.append("held out: what the column `split` says")
    elif counts.get("held_out"):
        lines.append(f"held out: {counts['held_out']}")
    lines += _set_aside_lines(fit)
    if not counts["features"]:
        lines.append("no item features: items are told apart by their names alone")
    return lines


def _likelihood_lines(counts: Mapping[str, Json]) -> list[str]:
    answers, likelihood = counts.get("answers", "pairs"), counts.get("likelihood", "bradley-terry")
    made = counts.get("fitted_as_pairs")
    if not made:
        return [f"{answers} by {likelihood}"] * (likelihood != "bradley-terry")
    many = counted(counts["train_pairs"], f"training {answers}")
    return [
        f"{answers} by {likelihood}: {many} fitted as {counted(made, 'pairs')} of what was taken and each alternative;",
        "pairs of one choice depend on each other, and share its weight (whole answers are scored)",
    ]


def _set_aside_lines(fit: Mapping[str, Json]) -> list[str]:
    """Answers that a split which the file does not have lost, out of how many there are."""
    counts = fit["counts"]
    lost = counts.get("set_aside_pairs", 0)
    if not lost:
        return []
    total = lost + counts["train_pairs"] + sum(test["n_pairs"] for test in fit["test"].values())
    lines = [f"{count} of {counted(total, 'answers')} set aside: {why}" for why, count in counts["set_aside"].items()]
    return [*lines, "(where answers are held out, none is; or give a column `split` in the file)"]


def _gain_lines(fit: Mapping[str, Json], users: str, common: str) -> list[str]:
    lines = []
    for name, row in fit["against_pooled"].items():
        gain = row.get(users)
        if gain:
            interval = interval_text(gain["log_likelihood_interval"], "+.4f")
            lines.append(f"    {name:<23} {gain['log_likelihood']:+.4f} {interval}")
    unit = "a pair" if fit["counts"].get("answers", "pairs") == "pairs" else "an answer"
    return [f"  gain over {common} (nats {unit})", *lines] if lines else []


def _cross_validation_lines(fit: Mapping[str, Json], common: str) -> list[str]:
    """Everybody as somebody new; where there is none and few were, that there could be."""
    found, unseen, counts = fit.get("cross_validation"), fit["test"]["unseen_users"], fit["counts"]
    if found is None:
        possible = not counts.get("own_split") and counts["annotators"] >= LEAST_PEOPLE
        few = possible and 0 < unseen["n_annotators"] < FEW_PEOPLE
        return ["", "few people were left out of training: with folds everybody is scored as somebody new"] * few
    people = found["test"][fit["common"]]["n_annotators"]
    sizes = ", ".join(map(str, found["sizes"].get(fit["method"], [])))
    who = f"cross-validation: {counted(people, 'people')}"
    of_sizes = f" (sizes {sizes})" if any(found["sizes"].get(fit["method"], [])) else ""
    lines = ["", f"{who}, each scored by the one of {found['folds']} fits that saw none of her answers{of_sizes}"]
    lines += [_scored(name, row) for name, row in found["test"].items()]
    lines += _gain_lines({**fit, "against_pooled": {n: {"all": r} for n, r in found["against_pooled"].items()}}, "all",
                         common)  # fmt: skip
    return lines + _new_annotator_lines(found, common)


def _new_annotator_lines(fit: Mapping[str, Json], common: str) -> list[str]:
    """fit: the whole object, or its cross-validation."""
    names = [name for name in fit["against_pooled"] if fit["new_users"] and name in fit["new_users"][0]]
    if not names:
        return []
    lines = ["", f"new users, gain over {common} after so many answers of theirs (reserved answers about other items)"]
    lines.append("  shown  " + "".join(f"{name:<30}" for name in names))
    for row in fit["new_users"]:
        cells = []
        for name in names:
            interval = interval_text(row[name]["gain_over_pooled_interval"], "+.4f")
            cells.append(f"{row[name]['gain_over_pooled']:+.4f} {interval}".ljust(30))
        lines.append(f"  {row['answers_shown']:<6} " + "".join(cells).rstrip())
    return lines


def _levels_line(levels: Mapping[str, Json]) -> str:
    at = ", ".join(f"{value:.2f}" for value in levels["thresholds"]) or "none"
    sides = "on both sides of zero, " if levels["around_zero"] else ""
    return f"levels {', '.join(levels['names'])}; thresholds {sides}in reward units: {at}"


def _group_line(group: Mapping[str, Json]) -> str:
    name = f"group {group['group']}" if isinstance(group["group"], int) else group["group"]
    share = "" if group["share"] is None else f" {group['share']:.0%}"
    people = f", {counted(group['n_annotators'], 'people')}" if "n_annotators" in group else ""
    if "examples" in group:
        # Directions among texts have no names that say anything; constants beside them do.
        named = [_trait(row) for row in group["against_pooled"] if row["feature"] in (NONE_OF_THEM, TIE)]
        told = "; ".join(filter(None, [words_of_group(group["examples"]), *named]))
        return f"  {name}{share}{people}" + (f": {told}" if told else "")
    traits = ", ".join(_trait(row) for row in group["against_pooled"][:4]) or "-"
    if "context" in group:
        who = ", ".join(_trait(row) for row in group["context"][:3])
        return f"  {name}{share}: people with {who} like {', '.join(_trait(r) for r in group['against_pooled'][:3])}"
    return f"  {name}{share}{people}: {traits}"


def _regret_lines(fit: Mapping[str, Json]) -> list[str]:
    if "regret" not in fit:
        return []
    regret = fit["regret"]
    lines = ["", f"regret of the policies at beta = {regret['beta']:g}, in reward units"]
    for group, pooled, minmax in zip(fit["groups"], regret["pooled_dpo"], regret["minmax_dpo"], strict=True):
        lines.append(f"  group {group['group']}: under pooled DPO {pooled:.3f}, under MinMax-DPO {minmax:.3f}")
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
    return lines


def _scored(name: str, row: Mapping[str, Json]) -> str:
    if not row["n_pairs"]:
        return f"  {name:<22} no held-out answers"
    interval = interval_text(row["log_likelihood_interval"], ".4f")
    return f"  {name:<22} log-likelihood {row['log_likelihood']:.4f} {interval}   accuracy {row['accuracy']:.3f}"


def _trait(row: Mapping[str, Json]) -> str:
    return f"{'more' if row['coefficient'] > 0 else 'less'} {row['feature']}"


def _serving_lines(serving: Mapping[str, Json]) -> list[str]:
    """One table a scenario; a star marks the constant chosen on held-out training people."""
    pairs = serving["training_pairs"]
    lines = [f"serving items of both sides of '{serving['region']}'; value: {serving['value']}"]
    lines += [f"  {text}" for text in serving["verdict"]]
    for scenario in ("with_shift", "without_shift"):
        seen = "answers about it left out" if scenario == "with_shift" else "all answers (control)"
        lines.append(
            f"  trained on {seen}, {pairs[scenario]} pairs; constant (* chosen beforehand), value, minus greedy, inside"
        )
        effects = serving[scenario]["design_effect"]
        counted = ", ".join(f"{effect:.1f} ({name})" for name, effect in effects.items())
        lines.append(f"    confidence sets allow for so many times the variance of independent answers: {counted}")
        tuned = serving[scenario]["tuned_constants"]
        for row in serving[scenario]["policies"]:
            if row["tuned"]:
                continue
            mark = "*" if tuned.get(row["policy"]) == row["constant"] else ""
            constant = "" if row["constant"] is None else f"{row['constant']:g}{mark}"
            cells = []
            for users in ("known_users", "unseen_users"):
                cell = row[users]
                if cell is None:
                    continue
                interval = interval_text(cell["difference_interval"], "+.3f")
                cells.append(
                    f"{users.split('_')[0]} {cell['value']:.3f} {cell['difference']:+.3f} {interval} "
                    f"{cell['share_inside']:.2f}"
                )
            lines.append(f"    {row['policy']:<26} {constant:<6} " + "   ".join(cells))
    return lines
