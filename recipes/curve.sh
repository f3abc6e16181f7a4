#!/usr/bin/env bash
# How many faces a generator needs, and what live captures of source cameras are worth to it. Every arm begins with the
# same untrained denoiser and makes the same steps; every line resumes if interrupted. Needs the GNU tools.
#   FACES       store of real faces with a test split (`despoof prepare`)
#   CAPTURES    store of captures in which every domain is a camera (recipes/cameras.sh)
#   AUTOENCODER autoencoder.safetensors, and
#   IDENTITY    identity.safetensors, which all arms share (recipes/generator.sh makes both)
#   DETECTOR    detector.safetensors, whose frozen networks read
#   TEACHER     ArcFace ONNX, which judges identity
#   COUNTS      how many of the faces are learned from, beside all: the first of one shuffle, so fewer are a part of more
#   OTHERS      NAME=FILE of generators that are measured beside, separated by blanks
#   STEPS       of 32 faces, for each arm
#   SEED        of the two halves of the cameras
set -euo pipefail
FACES=${FACES:?}; CAPTURES=${CAPTURES:?}; AUTOENCODER=${AUTOENCODER:?}; IDENTITY=${IDENTITY:?}; DETECTOR=${DETECTOR:?}
TEACHER=${TEACHER:?}; WORK=${WORK:-.}; COUNTS=${COUNTS:-1000 3000}; OTHERS=${OTHERS:-}; STEPS=${STEPS:-800}
SEED=${SEED:-0}
RUNS=$WORK/runs/curve; STORES=$WORK/store/curve; mkdir -p "$RUNS" "$STORES"

linked() { # OUT STORE... : a store of the rows of standard input, with links to the pictures of those stores
    local out=$1 store
    mkdir -p "$out"; cp "$2/store.json" "$out/"; cat >"$out/samples.jsonl"
    for store in "${@:2}"; do
        cp -rsf "$(realpath "$store")/faces" "$(realpath "$store")/surroundings" "$out/"
    done
}

# Half of the cameras each, by a shuffle. An arm learns from all faces and from what is live of one half, and is measured
# in the other, each of whose cameras is left out in turn: nothing has seen it.
grep '"simulated": false' "$CAPTURES/samples.jsonl" | grep '"outcome": "face"' >"$STORES/captures.jsonl"
grep -o '"domain": "[^"]*"' "$STORES/captures.jsonl" | sort -u | shuf --random-source=<(yes "$SEED") >"$STORES/cameras"
first=$(($(wc -l <"$STORES/cameras") / 2))
head -n "$first" "$STORES/cameras" >"$STORES/half-a"
tail -n +"$((first + 1))" "$STORES/cameras" >"$STORES/half-b"
for half in a b; do
    grep -F -f "$STORES/half-$half" "$STORES/captures.jsonl" | linked "$STORES/captures-$half" "$CAPTURES"
    { cat "$FACES/samples.jsonl"; grep '"label": "live"' "$STORES/captures-$half/samples.jsonl"; } |
        linked "$STORES/with-$half" "$FACES" "$CAPTURES"
done

despoof train generator "$FACES" "$RUNS/untrained" "$AUTOENCODER" "$IDENTITY" --preset small --training.steps 1 \
    --faces 100
more=(--training.steps "$STEPS") # options of what is given
given() { "$@" "${more[@]}"; }
learn() { # NAME STORE: an arm
    given despoof train student "$2" "$RUNS/$1" "$RUNS/untrained/generator.safetensors" --training.target face \
        --training.noise pair --training.rate 8e-4 --training.warmup 100 --training.average 0.995
    despoof study fidelity "$RUNS/$1/fidelity.md" "$FACES" "$RUNS/$1/generator.safetensors" "$TEACHER"
}
learn all "$FACES"
for half in a b; do learn "with-$half" "$STORES/with-$half"; done
for count in $COUNTS; do
    more=(--training.steps "$STEPS" --faces "$count")
    learn "faces-$count" "$FACES"
done

more=()
for count in $COUNTS; do more+=(--other "$count=$RUNS/faces-$count/generator.safetensors"); done
for other in $OTHERS; do more+=(--other "$other"); done
ALL=$RUNS/all/generator.safetensors
given despoof study carriers "$RUNS/carriers" "$CAPTURES" "$ALL" "$DETECTOR" --features \
    --other "untrained=$RUNS/untrained/generator.safetensors"
despoof study carriers "$RUNS/carriers-b" "$STORES/captures-b" "$ALL" "$DETECTOR" --features \
    --other "with-a=$RUNS/with-a/generator.safetensors"
despoof study carriers "$RUNS/carriers-a" "$STORES/captures-a" "$ALL" "$DETECTOR" --features \
    --other "with-b=$RUNS/with-b/generator.safetensors"
