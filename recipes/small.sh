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
despoof faithfulness "$WORK/store/faces" "$GENERATOR" "$TEACHER"

COUNTERPARTS=$(despoof reconstruct "$WORK/store/captures" "$GENERATOR")
despoof cue "$WORK/store/captures" "$GENERATOR"
despoof evaluate "$WORK/store/captures" "$WORK/runs/evaluation" --counterparts "$COUNTERPARTS" --peers "$PEERS"

# One call of the denoiser in place of six; the gate fails where that costs more than it may.
despoof train student "$WORK/store/faces" "$WORK/runs/student" "$GENERATOR" --steps 1200
STUDENT="$WORK/runs/student/generator.safetensors"
despoof gate "$GENERATOR" "$STUDENT" "$WORK/store/faces" "$WORK/store/captures" \
    "$WORK/runs/evaluation/fits/leave-one-domain-out/attention"

# What ships learns from simulated captures too, in a store of its own; nothing is ever measured on them.
despoof simulate "$FACES" "$WORK/store/simulated"
despoof prepare "$CAPTURES" "$WORK/store/with-simulated"
despoof prepare "$WORK/store/simulated/labels.csv" "$WORK/store/with-simulated"
COUNTERPARTS=$(despoof reconstruct "$WORK/store/with-simulated" "$GENERATOR")
despoof evaluate "$WORK/store/with-simulated" "$WORK/runs/evaluation" --protocol recipes/with-simulated.toml \
    --models none --models attention --counterparts "$COUNTERPARTS"

# And from recaptures of the live captures: the same person and camera, shown again as is, printed and on a screen.
despoof simulate "$CAPTURES" "$WORK/store/recaptured" --recapture
for labels in "$CAPTURES" "$WORK/store/simulated/labels.csv" "$WORK/store/recaptured/labels.csv"; do
    despoof prepare "$labels" "$WORK/store/with-recaptured"
done
COUNTERPARTS=$(despoof reconstruct "$WORK/store/with-recaptured" "$STUDENT")
despoof evaluate "$WORK/store/with-recaptured" "$WORK/runs/evaluation_recaptured" --preset field --seeds 0 \
    --protocol recipes/with-recaptured.toml --models attention --counterparts "$COUNTERPARTS"
despoof train detector "$WORK/store/with-recaptured" "$COUNTERPARTS" "$WORK/runs/detector" --preset field --members 3
despoof ship "$STUDENT" "$WORK/runs/detector/detector.safetensors" "$WORK/runs/shipped"
