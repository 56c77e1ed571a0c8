"""A grammar scorer from a packaged parser: Debian's link-grammar."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from llm.base.plain_text import sentences
from sim.errors import InputError
from sim.preferences import FloatArray

# limit: null counts do not depend on how many linkages are listed.  short: links of at most so many words, which
# keeps broken sentences from exploding.  A sentence that still takes over a second counts as wholly unlinked.
_COMMAND = (
    "link-parser", "en", "-verbosity=1", "-graphics=0", "-null=1", "-limit=1", "-short=10", "-timeout=1", "-echo=1",
)  # fmt: skip
_LONGEST = 30
_PART = 100
_FOUND = re.compile(r"^Found \d+ linkages?\b.*?(?: at null count (\d+))?$")
_WORD = re.compile(r"[A-Za-z]")


class GrammarScorer:
    """-(words the parser could not link) / (words), over the sentences of a response.

    A relative score over many responses, never the truth about one: on template sentences the parser rejects 9 % of
    good ones and finds 55 to 94 % of broken ones.  The last sentence is left out if it is unfinished and not the only
    one (responses are cut at a length); sentences are cut after 30 words; a response without words scores -1.
    """

    name = "grammar"

    def __init__(self, workers: int = 2) -> None:
        if shutil.which(_COMMAND[0]) is None:
            raise InputError(
                "the grammar scorer needs link-parser",
                fix="apt-get install link-grammar link-grammar-dictionaries-en, or choose another scorer",
            )
        self._workers = max(1, workers)
        self._unlinked: dict[str, int] = {}

    @property
    def kept_as(self) -> str:
        """What scores depend on beside the texts: they take long enough to be kept."""
        told = subprocess.run([_COMMAND[0], "--version"], capture_output=True, text=True, check=False).stdout
        return f"{_COMMAND} {_LONGEST} {told}"

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> FloatArray:
        """(n,) in [-1, 0]; the prompt is not looked at, but for finishing its last sentence with the response."""
        split = [scored_sentences(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]
        self._parse(sorted({sentence for parts in split for sentence in parts} - self._unlinked.keys()))
        scores = np.full(len(responses), -1.0)
        for j, parts in enumerate(split):
            words = sum(len(part.split()) for part in parts)
            if words:
                scores[j] = -sum(min(self._unlinked[part], len(part.split())) for part in parts) / words
        return scores

    def _parse(self, wanted: list[str]) -> None:
        parts = [wanted[lo : lo + _PART] for lo in range(0, len(wanted), _PART)]
        with ThreadPoolExecutor(self._workers) as pool:
            for part, counts in zip(parts, pool.map(_parse_part, parts), strict=True):
                self._unlinked.update(zip(part, counts, strict=True))


def scored_sentences(prompt: str, response: str) -> list[str]:
    """The sentences a response has a part in, beginning inside the prompt's last one; see GrammarScorer."""
    opening = (sentences(prompt) or [""])[-1]
    if opening.rstrip().endswith((".", "!", "?")):
        opening = ""
    parts = sentences((opening + response).strip())
    if len(parts) > 1 and not parts[-1].rstrip("\"')").endswith((".", "!", "?")):
        parts = parts[:-1]
    cut = (" ".join(part.split()[:_LONGEST]) for part in parts)
    # A line that begins with ! or % is a command or a comment to the parser.
    return [part.lstrip("!%* ") for part in cut if _WORD.search(part)]


def _parse_part(part: list[str]) -> list[int]:
    """Unlinked words of each sentence; all of them where the parser gives no answer."""
    counts = [len(sentence.split()) for sentence in part]
    try:
        done = subprocess.run(
            _COMMAND,
            input="\n".join(part) + "\n",
            capture_output=True,
            text=True,
            timeout=30 + 3 * len(part),
            check=False,
        )
        lines = done.stdout.splitlines()
    except subprocess.TimeoutExpired as expired:
        text = expired.stdout or b""
        lines = (text.decode(errors="replace") if isinstance(text, bytes) else text).splitlines()
    answered = any(line.startswith(("Found", "No complete")) for line in lines)
    if not answered and len(part) > 1:
        raise InputError(
            "link-parser gave no answer; is its English dictionary installed?",
            fix="apt-get install link-grammar-dictionaries-en",
        )
    at = -1
    position = {sentence: number for number, sentence in enumerate(part)}
    for line in lines:
        if line in position:
            at = position[line]
            continue
        found = _FOUND.match(line)
        if found is not None and at >= 0:
            counts[at] = int(found.group(1) or 0)
            at = -1
    return counts
