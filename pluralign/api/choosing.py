"""From rewards of several parties to one response a prompt, or a policy on candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pluralign.api.chosen import Choosing
from pluralign.api.fits import FitResult
from pluralign.api.frames import Frame, is_path, opinions_of, rows_of, said
from pluralign.api.plain_numbers import plain_numbers
from pluralign.ownership import importing_llm
from sim.algorithms.mechanism import floored
from sim.errors import InputError
from sim.files.candidate_files import Candidates, candidates_of, read_candidates
from sim.fitting.saved import SavedFit
from sim.fitting.text_features.asked_prompts import form_of
from sim.fitting.text_features.encoded import encoded
from sim.fitting.text_features.heads import (
    annotator_heads,
    encoder_of_reward,
    head_confidence,
    head_of,
    heads_of_nobody,
    standard_features,
    type_heads,
)
from sim.tables.candidates import RADIUS, HowToChoose, choose_candidates
from sim.tables.opinions_beside import opinions_beside
from sim.tables.pessimistic_candidates import Zero, sure_rewards


@plain_numbers
def choose(
    fit: FitResult,
    candidates: Frame,
    rule: str = "aggregate",
    *,
    alpha: float = 0.0,
    parties: str | Sequence[str] = "auto",
    zero: Zero | None = None,
    lottery: bool = False,
    beta: float | None = None,
    mechanism: bool = False,
    opinions: Frame | None = None,
    pessimistic: bool = False,
    radius: float = RADIUS,
    progress: Callable[[str], None] | None = None,
) -> Choosing:
    """Best of n for many: one candidate a prompt, or a lottery over them, from the rewards of a fit's parties.

    fit: of `reward`.  candidates: a path or a frame with `prompt` and `responses`, and where beta is to keep close to
    another policy than the uniform one `ref_logps`, their log-probabilities under it.  rule: aggregate, Agg_alpha
    [arXiv 2405.00254, eq. (4.1)]; nash, utilitarian, leximin or alpha=A [arXiv 2403.05006, section 4]; von-neumann, the
    lottery that nothing beats [Algorithm 2 there]; max-min, MaxMin-RLHF's policy at `beta` [2402.08925]; pool,
    Agg-p_alpha of the parties' chances [2405.00254, eq. (5.1)], with mechanism also what each pays.  parties: types (or
    clusters), annotators, or names of heads; auto: types where the fit has at least two.  zero, lottery, beta: see
    `HowToChoose`.  opinions: of pool, of people beside the parties, what `pool` takes, the prompt's text as
    `prompt_id`.  pessimistic: by the least rewards within `radius` standard errors, from the information in the fit's
    answers (`sim.fitting.head_errors`); at the default each bound on its own is meant to be right 19 times out of 20,
    and of the methods' default fits .90 to .96 were (docs/language_models.md).
    Every party counts alike: types are not weighted by their shares (annotators weigh as many as they are). Types (or
    clusters) that nobody is of are no parties, unless they are named.
    Errors: InputError.
    """
    with importing_llm("a reward on a language model"):
        from llm.rewards.reward_encoder import label_of

    how = HowToChoose(rule, alpha, zero, lottery, beta, mechanism, pessimistic, radius)
    if opinions is not None and rule != "pool":
        raise InputError("opinions: belong to rule pool", fix=f"leave them out with {rule}")
    asked = read_candidates(str(candidates)) if is_path(candidates) else _of_frame(candidates)
    names = party_names(fit, parties)
    nobodies = [name for name in heads_of_nobody(fit.usable) if name not in names]
    if nobodies and any(name in names for name in type_heads(fit.usable)):
        said(progress)(f"note: no party: {', '.join(nobodies)}, which nobody is of")
    heads = [head_of(fit.usable, name) for name in names]
    confidence = head_confidence(fit.usable, names, radius) if pessimistic else None
    people: tuple[str, ...] = ()
    if opinions is not None:
        source = str(opinions) if is_path(opinions) else "opinions"
        # Heads give every candidate a chance, so that it may have none of these people.
        questions = opinions_of(opinions, "opinions", alone=False)
        people, told = opinions_beside(asked, questions, names, source)
    encoder = encoder_of_reward(fit.usable)
    chat = bool(encoder.identity.get("chat"))
    labels = [
        label_of(prompt, response, chat)
        for prompt, responses in zip(asked.prompts, asked.responses, strict=True) for response in responses
    ]  # fmt: skip
    known = _known_prompts(fit.usable, asked, labels)
    different = list(dict.fromkeys(labels))
    said(progress)(f"{len(different)} responses to {len(asked)} prompts, {len(names)} parties")
    if known is not None and known < len(asked):
        said(progress)(f"note: {len(asked) - known} of {len(asked)} prompts are not among those the fit was made of")
    place = {label: number for number, label in enumerate(different)}
    states = encoded(encoder, different)
    by_head = np.stack([head.rewards(states) for head in heads])
    where = np.array([place[label] for label in labels])
    ends = np.cumsum([len(responses) for responses in asked.responses])[:-1]
    rewards = np.split(by_head[:, where], ends, axis=1)
    if people:
        # Rewards whose softmax is the opinion: a chance of nothing has the mechanism's floor.
        rewards = [np.vstack([own, np.log(floored(table))]) for own, table in zip(rewards, told, strict=True)]
    sure = None
    if confidence is not None:
        features = np.split(standard_features(fit.usable, states)[where], ends)
        sure = sure_rewards(features, rewards, confidence)
    choices = choose_candidates(rewards, how, sure, asked.ref_logps)
    return Choosing(asked, how, (*names, *people), rewards, choices, known)


def _known_prompts(fit: SavedFit, asked: Candidates, labels: Sequence[str]) -> int | None:
    """How many of the prompts the fit was made of; None where it does not say.

    Errors: InputError where candidates are written in another form than the fit's answers: its model would read them,
    and its rewards of them mean nothing.
    """
    if fit.asked is None:
        return None
    place = np.repeat(np.arange(len(asked)), [len(responses) for responses in asked.responses])
    for label, row in zip(labels, place, strict=True):
        if (form := form_of(label)) not in fit.asked.forms:
            written = {"text": "texts", "messages": "messages"}
            raise InputError(
                f"is written as {written[form]}, and the fit's answers as {written[fit.asked.forms[0]]}",
                file=asked.source, row=int(row) + 1, field="prompt", fix="write candidates as the answers are",
            )  # fmt: skip
    first = np.searchsorted(place, np.arange(len(asked)))
    return int(fit.asked.has([labels[number] for number in first]).sum())


def party_names(fit: FitResult, parties: str | Sequence[str]) -> list[str]:
    """Heads of the fit, each once, types of nobody only where they are named; InputError where it has no such."""
    nobodies = heads_of_nobody(fit.usable)
    types = [name for name in type_heads(fit.usable) if name not in nobodies]
    people = list(annotator_heads(fit.usable))
    if parties == "auto":
        return types if len(types) > 1 else people
    if parties == "types":
        if not types:
            raise InputError(f"parties: {fit.method} has no types", fix="give annotators, or names of them")
        return types
    if parties == "annotators":
        return people
    named = [parties] if isinstance(parties, str) else list(parties)
    if not named:
        raise InputError("parties: expected a head at least, got none", fix="give types, annotators, or names of heads")
    # One head may go by two names: `type_1` and `fit:type_1`.
    heads = [head_of(fit.usable, name).name for name in named]
    if twice := next((name for name, head in zip(named, heads, strict=True) if heads.count(head) > 1), None):
        raise InputError(f"parties: '{twice}' is given twice, and would count twice", fix="give each head once")
    return named


def _of_frame(candidates: Frame) -> Candidates:
    if isinstance(candidates, Sequence) and all(isinstance(row, Mapping) for row in candidates):
        return candidates_of(candidates)
    return candidates_of(rows_of(candidates, "candidates").rows)
