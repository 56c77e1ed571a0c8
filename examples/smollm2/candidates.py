"""All continuations that a folder of `llm make-imdb` was made of, as candidates for `llm choose`.

    python examples/smollm2/candidates.py FOLDER CONTINUATIONS OUT.jsonl [--split unseen] [--first N]

FOLDER: of make-imdb.  CONTINUATIONS: what it was given as `--set continuations=`.  The prompts are those of the split's
answers (unseen: of the annotators nobody trains on), in the order in which they were drawn; texts that are alike are
one candidate.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from llm.base.small_mistral import load_base
from llm.base.tensor_files import read_tensors
from llm.data.imdb_pool import Writer
from llm.scorers.sentiment import read_reviews
from sim.streams import Stream


def candidates(folder: Path, continuations: Path, split: str) -> dict[str, list[str]]:
    """Prompt -> its different continuations."""
    settings = json.loads((folder / "make.json").read_text(encoding="utf-8"))["settings"]
    with open(folder / "pairs.jsonl", encoding="utf-8") as lines:
        asked = {row["prompt"] for row in map(json.loads, lines) if row["split"] == split}
    texts, _ = read_reviews(settings["data"])
    order = Stream(settings["seed"], "imdb").child("prompts").permutation(len(texts))
    writer = Writer(*load_base(settings["model"], "cpu"), settings["instruction"])
    found: dict[str, list[str]] = {}
    for first in sorted({int(path.name.split("-")[1]) for path in continuations.glob("samples-*.safetensors")}):
        pieces = sorted(continuations.glob(f"samples-{first}-*.safetensors"), key=lambda path: path.name)
        drawn = [read_tensors(path, path.stem)[0]["tokens"].tolist() for path in pieces[: settings["candidates"]]]
        # As many reviews as a piece has prompts, but for those that were too short.
        begun, _ = writer.beginnings([texts[j] for j in order[first : first + 256]], settings["prompt_tokens"])
        for number, text in enumerate(begun):
            prompt = writer.opening + text
            if prompt not in asked or prompt in found:
                continue
            written = (
                writer.tokenizer.decode([token for token in rows[number] if token >= 0], skip_special_tokens=True)
                for rows in drawn
            )
            found[prompt] = list({text.strip(): text for text in written if text.strip()}.values())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("continuations", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="unseen", choices=("train", "unseen"))
    parser.add_argument("--first", type=int, help="only so many prompts")
    given = parser.parse_args()
    rows = list(candidates(given.folder, given.continuations, given.split).items())[: given.first]
    with open(given.out, "w", encoding="utf-8") as out:
        out.writelines(json.dumps({"prompt": prompt, "responses": texts}) + "\n" for prompt, texts in rows)
    print(f"{len(rows)} prompts, {sum(len(texts) for _, texts in rows)} candidates in {given.out}")


if __name__ == "__main__":
    main()
