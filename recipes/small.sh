#!/usr/bin/env bash
# The whole way with preset `small`: from images to shipped weights. Every line resumes if interrupted.
#   FACES     CSV of real faces (path, split), CAPTURES CSV of live and attack captures
#   TEACHER   ArcFace ONNX, PEERS folder of the MiniFASNet ONNX files
# The numbers in README.md come from these lines; docs/log.md has commit, data, seeds and times.
set -euo pipefail
FACES=${FACES:?}; CAPTURES=${CAPTURES:?}; TEACHER=${TEACHER:?}; PEERS=${PEERS:?}; WORK=${WORK:-.}

despoof prepare "$FACES" "$WORK/store/faces"
despoof prepare "$CAPTURES" "$WORK/store/captures"

despoof train autoencoder "$WORK/store/faces" "$WORK/runs/autoencoder"
despoof train identity "$WORK/store/faces" "$WORK/runs/identity" "$TEACHER"
despoof train generator "$WORK/store/faces" "$WORK/runs/generator" \
    "$WORK/runs/autoencoder/autoencoder.safetensors" "$WORK/runs/identity/identity.safetensors"
GENERATOR="$WORK/runs/generator/generator.safetensors"
despoof study fidelity "$WORK/runs/studies/fidelity.md" "$WORK/store/faces" "$GENERATOR" "$TEACHER"

COUNTERPARTS=$(despoof reconstruct "$WORK/store/captures" "$GENERATOR")
despoof study cue "$WORK/runs/studies/cue.md" "$WORK/store/captures" "$GENERATOR"
despoof evaluate "$WORK/store/captures" "$WORK/runs/evaluation" --preset mobilenet --counterparts "$COUNTERPARTS" \
    --peers "$PEERS"

# One call of the denoiser in place of six; `study student` fails where that costs more than it may.
despoof train student "$WORK/store/faces" "$WORK/runs/student" "$GENERATOR" --training.steps 1200
STUDENT="$WORK/runs/student/generator.safetensors"
despoof study student "$WORK/runs/studies/student.md" "$WORK/store/faces" "$WORK/store/captures" "$GENERATOR" "$STUDENT" \
    --evaluation "$WORK/runs/evaluation" --model attention-mobilenet

# Simulated captures to learn from, in a store of their own; nothing is ever measured on them.
despoof simulate "$FACES" "$WORK/store/simulated"
despoof prepare "$CAPTURES" "$WORK/store/with-simulated"
despoof prepare "$WORK/store/simulated/labels.csv" "$WORK/store/with-simulated"
COUNTERPARTS=$(despoof reconstruct "$WORK/store/with-simulated" "$GENERATOR")
despoof evaluate "$WORK/store/with-simulated" "$WORK/runs/evaluation" --preset mobilenet \
    --protocol recipes/with-simulated.toml --models none --models attention --counterparts "$COUNTERPARTS"

# The tables of the detector (docs/detector.md): where the cue enters, backbones, techniques. Minutes on an accelerator
# (give --workers), hours on a processor; lines of other models, seeds or cells may run side by side.
CAPTURED=$WORK/store/captures
COUNTERPARTS=$(despoof reconstruct "$CAPTURED" "$STUDENT")
TABLES=$WORK/runs/evaluation_texture
despoof evaluate "$CAPTURED" "$TABLES" --counterparts "$COUNTERPARTS" \
    --models none --models attention --models dual --models concat --models cue
despoof evaluate "$CAPTURED" "$TABLES" --counterparts "$COUNTERPARTS" --network.backbone mobilenet_v2 \
    --models none --models attention --models dual --models concat --models cue
for technique in ssdg dann vrex sare safas erm+mixstyle; do
    despoof evaluate "$CAPTURED" "$TABLES" --counterparts "$COUNTERPARTS" \
        --models "none+$technique" --models "attention+$technique"
done
despoof evaluate "$CAPTURED" "$TABLES" --peers "$PEERS" \
    --models minifasnet --models celeba-minifasnet --models saturation --models statistics
despoof study shortcuts "$WORK/runs/studies/shortcuts-texture.md" "$CAPTURED" "$TABLES" \
    --model none-texture --model attention-texture
for row in attention-texture concat-texture dual-texture attention+dann-texture; do # each against all others, paired
    despoof report "$TABLES/scores" "$WORK/runs/report-$row" --model "$row"
done

# The linear probe: learning curves by domains and subjects, and extra real faces as live ones to learn from.
LINEAR=$WORK/runs/evaluation_probe
despoof evaluate "$CAPTURED" "$LINEAR" --preset probe --seeds 0 --models none
for protocol in half-the-subjects one-domain known-cameras; do
    despoof evaluate "$CAPTURED" "$LINEAR" --preset probe --seeds 0 --models none \
        --protocol "recipes/$protocol.toml"
done
folder=$(realpath "$(dirname "$FACES")")
sed 's/\r//' "$FACES" | awk -F, -v folder="$folder" 'NR == 1 { print "path,label,domain" }
    $2 == "train" && n++ < 2000 { print folder "/" $1 ",live,portraits" }' >"$WORK/store/portraits.csv"
despoof prepare "$CAPTURES" "$WORK/store/with-portraits"
despoof prepare "$WORK/store/portraits.csv" "$WORK/store/with-portraits"
despoof evaluate "$WORK/store/with-portraits" "$LINEAR" --preset probe --seeds 0 --models none \
    --protocol recipes/with-portraits.toml

# What ships learns from recaptures of the live captures too: the same person and camera, shown again as is, printed and
# on a screen.
despoof simulate "$CAPTURES" "$WORK/store/recaptured" --recapture --room 0  # all are tight crops
for labels in "$CAPTURES" "$WORK/store/simulated/labels.csv" "$WORK/store/recaptured/labels.csv"; do
    despoof prepare "$labels" "$WORK/store/with-recaptured"
done
COUNTERPARTS=$(despoof reconstruct "$WORK/store/with-recaptured" "$STUDENT")
despoof evaluate "$WORK/store/with-recaptured" "$TABLES" --seeds 0 --protocol recipes/with-simulated.toml \
    --models attention --counterparts "$COUNTERPARTS"
despoof evaluate "$WORK/store/with-recaptured" "$WORK/runs/evaluation_shipped" --seeds 0 --members 1 --real-members 1 \
    --protocol recipes/with-simulated.toml --models attention --counterparts "$COUNTERPARTS"
despoof train detector "$WORK/store/with-recaptured" "$COUNTERPARTS" "$WORK/runs/detector" \
    --members 2 --real-members 2
despoof weights pack "$STUDENT" "$WORK/runs/detector/detector.safetensors" "$WORK/runs/shipped"
