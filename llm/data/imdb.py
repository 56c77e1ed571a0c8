"""The paper's IMDb protocol, from text alone: prompts, two sampled continuations, two groups of annotators.

arXiv 2405.15065, section 5: prompts of 20 tokens, pairs of continuations of an SFT model, 2/3 of the annotators prefer
the more positive sentiment and 1/3 the more correct grammar, 50 pairs each. Labels are deterministic; the paper does
not say what a tie does: here a coin decides it in training, and evaluation leaves tied pairs out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from llm.base.device import pick_device
from llm.base.folder_format import FORMAT, read_stamped, stamped
from llm.base.generation import Sampling
from llm.base.identity import versions, weights_hash
from llm.base.journal import Journal, fingerprint
from llm.base.progress import Progress
from llm.base.reference_policy import ReferencePolicy
from llm.base.shared_base import SharedBase
from llm.base.small_mistral import load_base
from llm.base.tokens import TokenStore
from llm.scorers.named_scorers import Scorer, make_scorer
from llm.scorers.sentiment import SentimentScorer, read_reviews
from sim.errors import InputError
from sim.files.atomic import write_json, write_text
from sim.preferences import FloatArray, IntArray
from sim.settings import resolved
from sim.streams import Stream

SCENARIOS = {
    "paper": (("sentiment", "sentiment", 2 / 3), ("grammar", "grammar", 1 / 3)),
    "opposed": (("positive", "sentiment", 2 / 3), ("negative", "negative-sentiment", 1 / 3)),
}
"""scenario -> (group, scorer, share of the annotators)"""
_CHUNK = 256


@dataclass(frozen=True)
class ImdbSettings:
    """data: labelled reviews.  model: the SFT model's folder.  pool, test_pool: prompts whose two continuations the
    training and the unseen annotators compare (each draws `pairs` of them).  candidates: continuations sampled a
    prompt; of more than the paper's two, the two that the groups' scores set furthest apart are compared, which makes
    labels easier to learn for a small model.  reviews: how many train the sentiment
    classifier (None: all)."""

    data: str = ""
    model: str = ""
    scenario: Literal["paper", "opposed"] = "paper"
    annotators: int = 120
    unseen: int = 40
    pairs: int = 50
    pool: int = 1_500
    test_pool: int = 400
    prompt_tokens: int = 20
    new_tokens: int = 32
    candidates: int = 2
    reviews: int | None = None
    batch: int = 64
    threads: int | None = None
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("annotators", "pairs", "pool", "prompt_tokens", "new_tokens", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 (got {getattr(self, name)})")
        if self.candidates < 2:
            raise ValueError(f"candidates must be at least 2 (got {self.candidates})")
        if self.unseen < 0 or self.seed < 0 or (self.unseen > 0 and self.test_pool < 1):
            raise ValueError("unseen and seed must not be negative, test_pool at least 1")
        if self.pairs > self.pool or (self.unseen > 0 and self.pairs > self.test_pool):
            raise ValueError(f"an annotator's {self.pairs} pairs are drawn without repeats: enlarge pool and test_pool")


@dataclass(frozen=True, eq=False)
class _Pool:
    """prompts and the two continuations of each as texts, scores (n_scorers, n, 2), training or test."""

    prompts: list[str]
    first: list[str]
    second: list[str]
    scores: FloatArray


@dataclass(frozen=True)
class GroupOfAnnotators:
    """group_id in the file, the scorer whose taste it has, and its share of the annotators."""

    group_id: str
    scorer: str
    share: float


@dataclass(frozen=True)
class SentimentAccuracy:
    """Accuracy and its 95 % limits on reviews the classifier was not taught, whole and cut."""

    reviews: tuple[float, ...]
    windows_of_30_words: tuple[float, ...]


@dataclass(frozen=True)
class Example:
    """A prompt and its two continuations; scores: group -> of the first and the second."""

    prompt: str
    first: str
    second: str
    scores: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class ImdbSummary:
    """make.json: what was made, how often scores tie, and how often the groups want the same.

    dropped_prompts: passed over because their continuations were empty or equal.  groups_agree: share of the pool's
    pairs, of those neither group finds tied, on which both prefer the same continuation.
    """

    settings: Mapping[str, Any]
    scenario: str
    groups: tuple[GroupOfAnnotators, ...]
    n_pairs: int
    n_annotators: int
    n_unseen_annotators: int
    pool: int
    dropped_prompts: int
    tied_share_of_pool: Mapping[str, float]
    tied_labels_in_training: Mapping[str, int]
    groups_agree: float
    sentiment_accuracy: SentimentAccuracy
    examples: tuple[Example, ...]
    versions: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def make_imdb(settings: ImdbSettings, out: str | Path, progress: Progress = lambda text: None) -> ImdbSummary:
    """Write pairs.jsonl, the trained scorer, train.yaml and make.json; resumes if killed."""
    out = Path(out)
    same = {key: value for key, value in resolved(settings).items() if key not in ("threads", "device", "batch")}
    finished = _finished(out, same)
    if finished is not None:
        progress(f"{out} is finished; nothing to do")
        return finished
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
    progress(f"sentiment classifier on {settings.reviews or len(texts)} reviews")
    taught = slice(None) if settings.reviews is None else slice(settings.reviews)
    sentiment = SentimentScorer.train(texts[taught], labels[taught], stream.child("sentiment"))
    sentiment.save(out / "scorers")
    scorers = [make_scorer(scorer, out / "scorers") for _, scorer, _ in groups]
    network, tokenizer = load_base(settings.model, device)
    journal = Journal(out / "unfinished")
    key = fingerprint(FORMAT, same, weights_hash(settings.model))
    order = stream.child("prompts").permutation(len(texts))
    need = settings.pool + (settings.test_pool if settings.unseen else 0)
    pool, dropped = _sample_pool(
        [texts[j] for j in order], need, settings, network, tokenizer, scorers, stream, journal, key, progress
    )
    split = [_part(pool, slice(0, settings.pool)), _part(pool, slice(settings.pool, need))]
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
        groups_agree=float((np.sign(better[0]) == np.sign(better[1]))[(better != 0).all(axis=0)].mean()),
        sentiment_accuracy=SentimentAccuracy(tuple(sentiment.accuracy), tuple(sentiment.accuracy_crops)),
        examples=tuple(
            Example(pool.prompts[j], pool.first[j], pool.second[j],
                    {name: tuple(pool.scores[g, j].tolist()) for g, (name, _, _) in enumerate(groups)})
            for j in range(min(5, len(pool.prompts)))
        ),
        versions=versions(),
    )  # fmt: skip
    write_json(out / "make.json", stamped(summary.as_json()))
    journal.clear()
    return summary


def _finished(out: Path, same: Mapping[str, Any]) -> ImdbSummary | None:
    path = out / "make.json"
    if not path.is_file():
        return None
    content = read_stamped(path, "run `pluralign llm make-imdb` again, with another --out")
    if content.get("settings") != json.loads(json.dumps(same)):
        raise InputError("holds data made with other settings", file=out, fix="choose another --out")
    try:
        return ImdbSummary(**{
            **content,
            "groups": tuple(GroupOfAnnotators(**group) for group in content["groups"]),
            "sentiment_accuracy": SentimentAccuracy(**content["sentiment_accuracy"]),
            "examples": tuple(Example(**example) for example in content["examples"]),
        })  # fmt: skip
    except (KeyError, TypeError) as error:
        raise InputError(f"is no summary of this version ({error})", file=path, fix="choose another --out") from error


def _sample_pool(
    texts: list[str], need: int, settings: ImdbSettings, network: Any, tokenizer: Any, scorers: list[Scorer],
    stream: Stream, journal: Journal, key: str, progress: Progress,
) -> tuple[_Pool, int]:  # fmt: skip
    """The first `need` prompts whose two continuations are texts and differ; and how many were passed over."""
    end = tokenizer.eos_token_id
    pad = end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    base = SharedBase(network, TokenStore(), pad=pad, end=end)
    policy = ReferencePolicy(base, sampling=Sampling(settings.new_tokens, batch=settings.batch))
    prompts: list[str] = []
    first: list[str] = []
    second: list[str] = []
    scores: list[FloatArray] = []
    dropped = 0
    asked_before: set[str] = set()
    for lo in range(0, len(texts), _CHUNK):
        if len(prompts) >= need:
            break
        ids = [list(tokenizer(text)["input_ids"]) for text in texts[lo : lo + _CHUNK]]
        start = int(bool(ids[0]) and ids[0][0] == tokenizer.bos_token_id)
        ids = [row[: settings.prompt_tokens + start] for row in ids if len(row) > settings.prompt_tokens + start]
        contexts = base.store.add_all(ids)
        here = stream.at(replicate=lo // _CHUNK)
        drawn = [_candidates(policy, contexts, here.child(f"candidate/{c}"), journal, f"samples-{key}-{lo}-{c}")
                 for c in range(settings.candidates)]  # fmt: skip
        asked = [tokenizer.decode(row, skip_special_tokens=True) for row in ids]
        texts_of = [[tokenizer.decode(row, skip_special_tokens=True) for row in side] for side in drawn]
        different = [_different([side[j] for side in texts_of]) for j in range(len(asked))]
        # A prompt is asked once: the unseen annotators' prompts are then new to every policy.
        fresh = [text not in asked_before and text not in asked[:j] for j, text in enumerate(asked)]
        asked_before.update(asked)
        good = [j for j in range(len(asked)) if fresh[j] and len(different[j]) >= 2]
        dropped += len(asked) - len(good)
        good = good[: need - len(prompts)]
        flat = [(j, text) for j in good for text in different[j]]
        piece = f"scores-{key}-{lo}"
        kept = journal.read(piece)
        if kept is None or kept[0]["scores"].shape[1] != len(flat):
            asked_flat, texts_flat = [asked[j] for j, _ in flat], [text for _, text in flat]
            table = torch.from_numpy(np.stack([scorer(asked_flat, texts_flat) for scorer in scorers]))
            journal.write(piece, {"scores": table})
            kept = {"scores": table}, {}
        found = kept[0]["scores"].numpy()
        scale = np.maximum(found.std(axis=1), 1e-12)[:, None]
        at = 0
        for j in good:
            own = found[:, at : at + len(different[j])]
            a, b = _furthest_apart(own / scale)
            prompts.append(asked[j])
            first.append(different[j][a])
            second.append(different[j][b])
            scores.append(own[:, [a, b]])
            at += len(different[j])
        progress(f"{len(prompts)} of {need} pairs of continuations sampled and scored")
    if len(prompts) < need:
        raise InputError(
            f"{len(prompts)} prompts of {settings.prompt_tokens} tokens with two different continuations, not {need}",
            file=settings.data, fix="lower pool and test_pool, or give more reviews",
        )  # fmt: skip
    return _Pool(prompts, first, second, np.stack(scores, axis=1)), dropped


def _candidates(
    policy: ReferencePolicy, contexts: IntArray, stream: Stream, journal: Journal, piece: str
) -> list[list[int]]:
    """One sampled continuation a prompt, as tokens."""
    kept = journal.read(piece)
    if kept is None:
        store = policy.base.store
        rows = [store[n] for n in policy.sample(contexts, stream).tolist()]
        table = torch.full((len(rows), max(map(len, rows))), -1, dtype=torch.int32)
        for j, row in enumerate(rows):
            table[j, : len(row)] = torch.from_numpy(row)
        journal.write(piece, {"tokens": table})
        kept = {"tokens": table}, {}
    return [[t for t in row if t >= 0] for row in kept[0]["tokens"].tolist()]


def _different(texts: list[str]) -> list[str]:
    """Those that are not empty, each once, in order."""
    return list({text.strip(): text for text in reversed(texts) if text.strip()}.values())[::-1]


def _furthest_apart(scores: FloatArray) -> tuple[int, int]:
    """The two columns with the largest sum over groups of absolute differences, in their order; (G, c) -> (a, b)."""
    gap = np.abs(scores[:, :, None] - scores[:, None, :]).sum(axis=0)
    a, b = np.unravel_index(int(np.argmax(np.triu(gap, 1) + np.triu(np.full(gap.shape, 1e-12), 1))), gap.shape)
    return int(a), int(b)


def _part(pool: _Pool, rows: slice) -> _Pool:
    return _Pool(pool.prompts[rows], pool.first[rows], pool.second[rows], pool.scores[:, rows])


def _annotate(
    split: list[_Pool], groups: tuple[tuple[str, str, float], ...], settings: ImdbSettings, stream: Stream
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
            asked = open_to[own.permutation(len(open_to))[: settings.pairs]]
            coins = own.child("coin").uniforms(len(asked)) < 0.5
            for j, coin in zip(asked.tolist(), coins.tolist(), strict=True):
                tie = bool(better[j] == 0)
                ties[groups[g][0]] += int(tie and part == 0)
                wins = coin if tie else bool(better[j] > 0)
                a, b = pool.first[j], pool.second[j]
                rows.append({
                    "prompt": pool.prompts[j], "chosen": a if wins else b, "rejected": b if wins else a,
                    "annotator_id": f"{name}-{i:04d}", "group_id": groups[g][0], "split": name, "tie": tie,
                })  # fmt: skip
    return rows, ties


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
