#!/usr/bin/env bash
# The whole way on two cores in about a quarter of an hour: a model from nothing but text, two groups of annotators,
# policies for them, and one ensemble. Usage: examples/imdb/run.sh REVIEWS.jsonl.gz [opposed|paper] [FOLDER]
# Every step resumes when it was killed, and what is finished is not computed again.
set -euo pipefail
reviews=$1 scenario=${2:-opposed} out=${3:-imdb}
here=$(cd "$(dirname "$0")" && pwd)
pluralign=${PLURALIGN:-pluralign}
step() { echo "== $(date +%T) $*"; $pluralign llm "$@"; }

step sft --data "$reviews" --set tidy=true --size tiny --steps 650 --out "$out/sft"
step make-imdb --config "$here/$scenario.yaml" --data "$reviews" --model "$out/sft" --out "$out/$scenario"
for method in em-dpo dpo cluster-dpo; do
    step train --config "$here/train.yaml" --model "$out/sft" --data "$out/$scenario/pairs.jsonl" \
        --method $method --out "$out/$scenario-$method"
done
for run in em-dpo cluster-dpo; do
    step minmax "$out/$scenario-$run" --priorities 1,1 --priorities 1,4 --priorities 4,1
done
step eval "$out/$scenario-em-dpo" --against "$out/$scenario-dpo" --against "$out/$scenario-cluster-dpo" \
    --pairs "$out/$scenario" --prompts 600 --samples 4
echo "== $(date +%T) done"
