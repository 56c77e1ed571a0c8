"""A converter of one's own: `pluralign convert skeleton:CONVERTER FILE --out pairs.parquet`.

This one reads JSON lines {"who": ..., "question": ..., "options": [text, text], "picked": 0 or 1} and keeps questions
of at least `min_letters`. Put your data set's schema in its place.
"""

import json

import pluralign as pl


def rows(files, min_letters):
    """Mappings with the columns of a file of pairwise answers: chosen, rejected, annotator_id, and where there are any
    prompt, group_id, weight, split, chosen_features, rejected_features. Each is checked as a file's row is."""
    for file in files:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                if len(record["question"]) < min_letters:
                    continue
                picked = record["picked"]
                yield {
                    "prompt": record["question"],
                    "chosen": record["options"][picked],
                    "rejected": record["options"][1 - picked],
                    "annotator_id": record["who"],
                }


CONVERTER = pl.Converter(
    rows,
    schema='JSON lines {"who", "question", "options": [two texts], "picked": 0 or 1}',
    licence="state the data's licence here",
    loses="state here what does not come through",
    options={"min_letters": 0},  # --set min_letters=20
)
