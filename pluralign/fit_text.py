"""Fits as text: what `pluralign fit` prints and `pluralign report` repeats."""

from __future__ import annotations

from typing import Any


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
        return f"  {name:<22} no held-out answers"
    low, high = row["log_likelihood_interval"] or (float("nan"), float("nan"))
    return (
        f"  {name:<22} log-likelihood {row['log_likelihood']:.4f} [{low:.4f}, {high:.4f}]   "
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


def low_rank_text(answer: dict[str, Any]) -> str:
    """A low-rank fit for a reader."""
    chosen = answer["selection"]["chosen"]
    lines = [
        f"{answer['method']}: rank {answer['rank']}, ridge {chosen['low-rank']['ridge']:g} "
        f"({answer['fit']['parameters']} numbers; full rank {answer['fit']['full_parameters']})"
    ]
    for users in ("known_users", "unseen_users"):
        test = answer["test"][users]
        lines += ["", f"{users.replace('_', ' ')}: {test['n_pairs']} held-out answers of {test['n_annotators']} people"]
        lines.append(_scored(answer["method"], test))
        lines += [_scored(name, row[users]) for name, row in answer["baselines"].items()]
        lines.append("  gain over one reward for all (nats a pair)")
        for name, row in answer["against_pooled"].items():
            gain = row.get(users)
            if gain and gain["log_likelihood_interval"]:
                low, high = gain["log_likelihood_interval"]
                lines.append(f"    {name:<23} {gain['log_likelihood']:+.4f} [{low:+.4f}, {high:+.4f}]")
    lines += ["", answer["premise"]]
    for group in answer["groups"]:
        who, what = (", ".join(_trait(row) for row in group[name][:3]) for name in ("context", "against_pooled"))
        share = "" if group["share"] is None else f" {group['share']:.0%}"
        lines.append(f"  {group['group']}{share}: people with {who} like {what}")
    if answer["serving"]:
        lines += ["", *_serving_lines(answer["serving"])]
    lines.append(f"\nresults in {answer['out']}/")
    return "\n".join(lines)


def _trait(row: dict[str, Any]) -> str:
    return f"{'more' if row['coefficient'] > 0 else 'less'} {row['feature']}"


def _serving_lines(serving: dict[str, Any]) -> list[str]:
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
                low, high = cell["difference_interval"] or (float("nan"), float("nan"))
                cells.append(
                    f"{users.split('_')[0]} {cell['value']:.3f} {cell['difference']:+.3f} [{low:+.3f}, {high:+.3f}] "
                    f"{cell['share_inside']:.2f}"
                )
            lines.append(f"    {row['policy']:<26} {constant:<6} " + "   ".join(cells))
    return lines
