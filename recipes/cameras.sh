#!/usr/bin/env bash
# Cameras never seen: from captures of many cameras to tables over cameras, and to weights that learned from all.
# Every line resumes if interrupted.
#   CAPTURES  CSV of live and attack captures of domains office, selfie and webcam; of webcam, subject is the collection
#   CAMERAS   CSV of live and attack captures in which every domain is a camera
#   PEERS     folder of the MiniFASNet ONNX files
#   GENERATOR generator.safetensors, whose counterparts the rows with a cue are made of
set -euo pipefail
CAPTURES=${CAPTURES:?}; CAMERAS=${CAMERAS:?}; PEERS=${PEERS:?}; GENERATOR=${GENERATOR:?}; WORK=${WORK:-.}
STORE=$WORK/store/cameras; BY_CAMERA=$WORK/store/by-camera/labels.csv; mkdir -p "$WORK/store/by-camera"

# A collection of webcam pictures is a camera of its own; it gets a number, as its name is a person's. Species get the
# words that CAMERAS has.
folder=$(realpath "$(dirname "$CAPTURES")")
awk -F, -v folder="$folder" '
    { sub(/\r$/, "") }
    NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; print "path,label,attack_type,subject,domain"; next }
    { kind = $at["attack_type"]; subject = $at["subject"]; domain = $at["domain"] }
    domain == "webcam" {
        if (!(subject in number)) number[subject] = ++count
        domain = subject = "webcam-" number[subject]
    }
    kind == "print_or_display" { kind = "display_or_print" }
    kind == "display_replay" { kind = "display" }
    { print folder "/" $at["path"] "," $at["label"] "," kind "," subject "," domain }
' "$CAPTURES" >"$BY_CAMERA"
despoof prepare "$BY_CAMERA" "$STORE"
despoof prepare "$CAMERAS" "$STORE"

# Rows: each model in seven folds over cameras and three seeds. Lines of other models, seeds or cells may run side by
# side, or on several machines whose folders are then brought together; the tables are made of what is there. What frozen
# networks read is kept in the store, so only the first row of a kind takes long.
ROWS=$WORK/runs/cameras
despoof evaluate "$STORE" "$ROWS" --protocol leave-cameras-out --peers "$PEERS" \
    --models minifasnet --models celeba-minifasnet \
    --models saturation --models darkness --models sharpness --models statistics
# Nothing in the kernel has a seed.
despoof evaluate "$STORE" "$ROWS" --protocol leave-cameras-out --preset kernel --kernel.released "$PEERS" \
    --models none --seeds 0
despoof evaluate "$STORE" "$ROWS" --protocol leave-cameras-out --preset kernel --kernel.released "$PEERS" \
    --models none --seeds 0 --network.empty-branches # the face alone, by Lite0
despoof evaluate "$STORE" "$ROWS" --protocol leave-cameras-out --preset kernel --kernel.released "$PEERS" \
    --models none --seeds 0 --network.branches near
despoof evaluate "$STORE" "$ROWS" --protocol leave-cameras-out --preset kernel --kernel.released "$PEERS" \
    --models none --seeds 0 --network.branches minifasnet_v2
despoof evaluate "$STORE" "$ROWS" --protocol leave-cameras-out --preset kernel --kernel.released "$PEERS" \
    --models none --seeds 0 --network.branches near --network.branches minifasnet_v2 \
    --network.branches minifasnet_v1se # all that is read by one kind of network or the other
despoof evaluate "$STORE" "$ROWS" --protocol leave-cameras-out --preset kernel --kernel.released "$PEERS" \
    --models none --seeds 0 --network.branches minifasnet_v2 --network.branches minifasnet_v1se
despoof evaluate "$STORE" "$ROWS" --protocol leave-cameras-out --preset kernel --kernel.released "$PEERS" \
    --models none --seeds 0 --network.judges around # the surroundings alone
despoof evaluate "$STORE" "$ROWS" --protocol leave-cameras-out --preset kernel --kernel.released "$PEERS" \
    --models none --seeds 0 --network.judges face # the face alone, by Lite0 and both MiniFASNets
despoof evaluate "$STORE" "$ROWS" --protocol leave-cameras-out --preset kernel --kernel.released "$PEERS" \
    --models none --seeds 0 --network.judges all --network.judges face # the lesser of two
despoof evaluate "$STORE" "$ROWS" --protocol leave-cameras-out --preset cameras --head.released "$PEERS" \
    --head.augmented 0 --models none --network.branches near --network.branches minifasnet_v2 \
    --network.branches minifasnet_v1se # a hidden layer in place of the kernel

# The cue beside all that, in pixels (dual) and in feature space; another generator is another such line.
COUNTERPARTS=$(despoof reconstruct "$STORE" "$GENERATOR")
despoof evaluate "$STORE" "$ROWS" --protocol leave-cameras-out --preset kernel --kernel.released "$PEERS" \
    --models dual --models features --seeds 0 --counterparts "$COUNTERPARTS"

# Simulated recaptures of the cameras that are learned from, beside their captures; nothing is tested on them.
for captures in "$BY_CAMERA" "$CAMERAS"; do
    name=$(basename "$(dirname "$captures")")
    despoof simulate "$captures" "$WORK/store/recaptured-$name" --recapture
    despoof prepare "$captures" "$STORE-recaptured"
    despoof prepare "$WORK/store/recaptured-$name/labels.csv" "$STORE-recaptured"
done
despoof evaluate "$STORE-recaptured" "$ROWS" --protocol leave-cameras-out-with-recaptures --preset kernel \
    --kernel.released "$PEERS" --models none --seeds 0

# The whole table: means, points, species, each camera, groups, and one row minus each other.
despoof report "$ROWS" "$WORK/runs/cameras-report" --model none-kernel --store "$STORE"

# What ships learns from all cameras; its calibration and points are of detectors that never saw the camera they judge.
despoof train detector "$STORE" none "$WORK/runs/cameras-detector" --preset kernel --kernel.released "$PEERS"
despoof weights pack "$GENERATOR" "$WORK/runs/cameras-detector/detector.safetensors" "$WORK/runs/cameras-shipped" --unbound
