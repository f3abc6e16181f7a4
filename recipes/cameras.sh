#!/usr/bin/env bash
# Cameras never seen: from captures of many cameras to tables over cameras, and to weights that learned from all of them.
# Every line resumes if interrupted.
#   CAPTURES  CSV of live and attack captures of domains office, selfie and webcam; of webcam, subject is the collection
#   CAMERAS   CSV of live and attack captures in which every domain is a camera
#   PEERS     folder of the MiniFASNet ONNX files
set -euo pipefail
CAPTURES=${CAPTURES:?}; CAMERAS=${CAMERAS:?}; PEERS=${PEERS:?}; WORK=${WORK:-.}
STORE=$WORK/store/cameras; mkdir -p "$WORK/store"

# A collection of webcam pictures is a camera of its own; it gets a number, since its name is a person's. Species get the
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
' "$CAPTURES" >"$WORK/store/captures-by-camera.csv"
despoof prepare "$WORK/store/captures-by-camera.csv" "$STORE"
despoof prepare "$CAMERAS" "$STORE"

# Rows: each model in seven folds over cameras. Lines of other models, seeds or cells may run side by side, or on several
# machines whose folders are then brought together; the tables are made of what is there.
EVALUATION=$WORK/runs/cameras
despoof evaluate "$STORE" "$EVALUATION" --protocol leave-cameras-out --peers "$PEERS" \
    --models minifasnet --models celeba-minifasnet \
    --models saturation --models darkness --models sharpness --models statistics
