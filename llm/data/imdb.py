"""The paper's IMDb protocol, from text alone: prompts, two sampled continuations, two groups of annotators.

arXiv 2405.15065, section 5: prompts of 20 tokens, pairs of continuations of an SFT model, 2/3 of the annotators prefer
the more positive sentiment and 1/3 the more correct grammar, 50 pairs each. Labels are deterministic; the paper does
not say what a tie does: here a coin decides it in training, and evaluation leaves tied pairs out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llm.base.device import pick_device
from llm.base.folder_format import FORMAT, checksums, file_checksum, stamped
from llm.base.identity import tokenizer_hash, versions, weights_hash
from llm.base.journal import Journal, fingerprint
from llm.base.progress import Progress
from llm.base.small_mistral import load_base
from llm.base.tensor_files import computed_in
from llm.data.imdb_pool import Kept, Pool, Writer, part_of, sample_pool
from llm.data.imdb_settings import SCENARIOS, ImdbSettings
from llm.data.imdb_summary import Example, GroupOfAnnotators, ImdbSummary, SentimentAccuracy, read_finished
from llm.scorers.named_scorers import make_scorer
from llm.scorers.sentiment import SentimentScorer, read_reviews
from sim.errors import InputError
from sim.files.atomic import write_json, write_text
from sim.files.own_folder import require_own_folder
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.settings import resolved
from sim.streams import Stream

# Settings that decide nothing, and those that decide what is sampled.
_FREE = ("threads", "device", "batch", "continuations")
_SAMPLED = ("prompt_tokens", "new_tokens", "seed", "instruction")


def make_imdb(settings: ImdbSettings, out: str | Path, progress: Progress = lambda text: None) -> ImdbSummary:
    """Write pairs.jsonl, the trained scorer, train.yaml and make.json; resumes if killed."""
    out = Path(out)
    same = {key: value for key, value in resolved(settings).items() if key not in _FREE}
    # Folders made before there were these settings know of none.
    for name in ("instruction", "correlation"):
        if not same[name]:
            del same[name]
    finished = read_finished(out, same, settings.data, settings.model)
    if finished is not None:
        progress(f"{out} is finished; nothing to do")
        return finished
    require_own_folder(out, "data set of make-imdb", ("make.json", "scorers/sentiment.*", "unfinished"))
    if not settings.data or not settings.model:
        raise InputError("needs data and model", fix="give --data REVIEWS and --model FOLDER")
    groups = SCENARIOS[settings.scenario]
    if any(scorer.endswith("grammar") for _, scorer, _ in groups):
        make_scorer("grammar")  # fails now, not after the sampling, where the parser is missing
    device = pick_device(settings.device)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    stream = Stream(settings.seed, "imdb")
    texts, labels = read_reviews(settings.data)
    writer = Writer(*load_base(settings.model, device, progress=progress), settings.instruction)
    # Before any work: a model that cannot be asked is refused, and a template may put the day into what it asks.
    opening = writer.opening
    progress(f"sentiment classifier on {settings.reviews or len(texts)} reviews")
    taught = slice(None) if settings.reviews is None else slice(settings.reviews)
    sentiment = SentimentScorer.train(texts[taught], labels[taught], stream.child("sentiment"))
    sentiment.save(out / "scorers")
    scorers = [make_scorer(scorer, out / "scorers") for _, scorer, _ in groups]
    reviews = file_checksum(Path(settings.data))
    base, tokenizer = weights_hash(settings.model), tokenizer_hash(settings.model)
    sampled_from = (
        reviews, base, tokenizer, computed_in(writer.network), opening,
        {name: getattr(settings, name) for name in _SAMPLED},
        # Of one end token continuations are those of before.
        *([writer.ends] if len(writer.ends) > 1 else []),
    )  # fmt: skip
    journal = Journal(out / "unfinished", progress)
    kept = Kept(
        Journal(settings.continuations, progress) if settings.continuations else journal, journal,
        fingerprint(FORMAT, *sampled_from), fingerprint(FORMAT, same, *sampled_from),
    )  # fmt: skip
    order = stream.child("prompts").permutation(len(texts))
    need = settings.pool + (settings.test_pool if settings.unseen else 0)
    pool, dropped = sample_pool([texts[j] for j in order], need, settings, writer, scorers, stream, kept, progress)
    split = [part_of(pool, slice(0, settings.pool)), part_of(pool, slice(settings.pool, need))]
    rows, ties = _annotate(split, groups, settings, stream)
    write_text(out / "pairs.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write_text(out / "train.yaml", _config(settings, out))
    better = split[0].scores[:, :, 0] - split[0].scores[:, :, 1]
    summary = ImdbSummary(
        settings=same,
        scenario=settings.scenario,
        groups=tuple(GroupOfAnnotators(*group) for group in groups),
        n_pairs=len(rows),
        n_annotators=settings.annotators,
        n_unseen_annotators=settings.unseen,
        pool=settings.pool,
        dropped_prompts=dropped,
        tied_share_of_pool={name: float((better[g] == 0).mean()) for g, (name, _, _) in enumerate(groups)},
        tied_labels_in_training=ties,
        groups_agree=_agreement(better),
        sentiment_accuracy=SentimentAccuracy(tuple(sentiment.accuracy), tuple(sentiment.accuracy_crops)),
        examples=tuple(
            Example(pool.prompts[j], pool.first[j], pool.second[j],
                    {name: tuple(pool.scores[g, j].tolist()) for g, (name, _, _) in enumerate(groups)})
            for j in range(min(5, len(pool.prompts)))
        ),
        versions=versions(),
        before=writer.before,
        reviews=reviews,
        base=base,
        tokenizer=tokenizer,
        files=checksums(out, ["pairs.jsonl", *(f"scorers/{file.name}" for file in out.glob("scorers/sentiment.*"))]),
    )  # fmt: skip
    write_json(out / "make.json", stamped(summary.as_json()))
    journal.clear()
    return summary


def _agreement(better: FloatArray) -> float | None:
    """Share of the pairs that both groups decide on which they agree; better (2, n), None where there is no such."""
    decided = (better != 0).all(axis=0)
    return float((np.sign(better[0]) == np.sign(better[1]))[decided].mean()) if decided.any() else None


def _annotate(
    split: list[Pool], groups: tuple[tuple[str, str, float], ...], settings: ImdbSettings, stream: Stream
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """One row an answer; groups take turns by their shares, so that their sizes are exact."""
    rows: list[dict[str, Any]] = []
    ties = {name: 0 for name, _, _ in groups}
    for part, (pool, n, name) in enumerate(
        zip(split, (settings.annotators, settings.unseen), ("train", "unseen"), strict=True)
    ):
        for i, g in enumerate(group_sizes(n, [share for _, _, share in groups])):
            own = stream.child(f"{name}/annotator").at(replicate=i)
            better = pool.scores[g, :, 0] - pool.scores[g, :, 1]
            # Evaluation leaves ties out: a coin's labels say nothing about a policy.
            open_to = np.arange(len(better)) if part == 0 else np.flatnonzero(better != 0)
            drawn = open_to[own.permutation(len(open_to))]
            if part == 0 and settings.correlation > 0.0:
                part_of_group = open_to[own.child("part").permutation(len(open_to))]
                part_of_group = part_of_group[part_of_group % len(groups) == g]
                lean = own.child("lean").uniforms(settings.pairs) < settings.correlation
                drawn = without_repeats(drawn, part_of_group, lean)
            asked = drawn[: settings.pairs]
            coins = own.child("coin").uniforms(len(asked)) < 0.5
            for j, coin in zip(asked.tolist(), coins.tolist(), strict=True):
                tie = bool(better[j] == 0)
                ties[groups[g][0]] += int(tie and part == 0)
                wins = coin if tie else bool(better[j] > 0)
                a, b = pool.first[j], pool.second[j]
                rows.append({
                    "prompt": pool.prompts[j], "chosen": a if wins else b, "rejected": b if wins else a,
                    "annotator_id": f"{name}-{i:04d}", "group_id": groups[g][0], "split": name, "coin": tie,
                })  # fmt: skip
    return rows, ties


def without_repeats(order: IntArray, part: IntArray, lean: BoolArray) -> IntArray:
    """One after the other the next of `part` where `lean` says so, else of `order`, that was not taken yet.

    Two orders, each drawn for itself: what is left of one is as it was drawn, whatever the other has taken.
    """
    following, taken = (iter(order.tolist()), iter(part.tolist())), dict[int, None]()
    for leans in lean.tolist():
        taken[next(place for place in following[leans] if place not in taken)] = None
    return np.array(list(taken), dtype=np.int64)


def group_sizes(n: int, shares: list[float]) -> IntArray:
    """The group of each of n annotators, in turn by largest shortfall: every prefix is as near the shares as it can."""
    counts = np.zeros(len(shares))
    out = np.empty(n, dtype=np.int64)
    for i in range(n):
        out[i] = int(np.argmax(np.array(shares) * (i + 1) - counts))
        counts[out[i]] += 1
    return out


def _config(settings: ImdbSettings, out: Path) -> str:
    """A configuration for `llm train`: continuations are cut at a length, so they get no end token."""
    import yaml

    return yaml.safe_dump(
        {
            "model": settings.model,
            "data": {"train": str(out / "pairs.jsonl"), "append_end": False},
            "sampling": {"max_new_tokens": settings.new_tokens},
            "seed": settings.seed,
        },
        sort_keys=False,
    )
