"""OpenAI's summaries with human feedback (TL;DR, CNN and Daily Mail): comparisons, and scores on axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sim.converters.answers import Item, LeftOut, each, pair_of
from sim.converters.converter import Converter
from sim.converters.records import Record


def rows(files: Sequence[Path], axis: str) -> Iterator[Item]:
    """A pair a comparison; of files of the part `axis` a rating a summary.

    axis: which score is kept there: overall, accuracy, coverage or coherence.
    """

    def answers(record: Record) -> Iterator[Item]:
        prompt = _source(record)
        who = record.name("worker")
        if "summaries" not in record.fields:
            if record.value(f"summary.axes.{axis}") is None:
                yield LeftOut(f"summaries without a score on {axis}")
                return
            score = record.number(f"summary.axes.{axis}")
            yield {"prompt": prompt, "response": record.text("summary.text"), "score": score, "annotator_id": who}
            return
        summaries = record.list("summaries", least=2)
        if len(summaries) != 2:
            raise record.bad("summaries", f"expected two summaries, got {len(summaries)}")
        first, second = (record.inner("summaries", j, part).text("text") for j, part in enumerate(summaries))
        choice = record.one_of("choice", {0: 0, 1: 1, "0": 0, "1": 1})
        yield pair_of(first, second, choice, prompt=prompt, annotator_id=who)

    yield from each(files, answers, ("info", "worker"))


def _source(record: Record) -> str:
    """What was summarised: a post of Reddit, or an article."""
    field = "info.post" if record.value("info.post") is not None else "info.article"
    if record.value(field) is None:
        raise record.bad("info.post", "expected a post or an article, got neither")
    return record.text(field)


CONVERTER = Converter(
    rows,
    schema="comparisons of summarize_from_feedback: info.post (or info.article), summaries (two, each text), choice "
    "(0 or 1), worker; or its part axis: info, summary.text, summary.axes, worker",
    licence="none is named on the card of openai/summarize_from_feedback",
    loses="title and subreddit, which policies wrote the summaries, notes, batches, the published split (of posts, not "
    "of people), extra.confidence (the card does not say on what scale), and of axis the other axes",
    options={"axis": "overall"},
)
