#!/usr/bin/env bash
# The generator alone, from real faces to a file that can ship; the same lines on a processor and on an accelerator.
#   FACES     CSV of real faces (path, split), one or more, separated by blanks: all go one way into one store
#   TEACHER   ArcFace ONNX
#   START     generator.safetensors to go on from: its parts are kept, and only the last training is run
#   MINUTES   of one line; what it stops goes on where it was when the recipe is run again, which exits 75 till all is done
# For preset base (51 M parameters, not 9) write base for small. No line depends on what computes: every trainer takes
# the accelerator that torch sees, 16-bit floats, a running mean of the weights, latents made once. `log.jsonl` has
# `faces_per_second` and `of_floor`, the share of the arithmetic alone.
set -euo pipefail
FACES=${FACES:?}; TEACHER=${TEACHER:?}; WORK=${WORK:-.}; START=${START:-}
STORE=$WORK/store/real; RUNS=$WORK/runs/generator; GENERATOR=$RUNS/denoiser/generator.safetensors

line() { # one resumable line within MINUTES
    local status=0
    if [ -z "${MINUTES:-}" ]; then "$@"; else timeout "$((MINUTES * 60))" "$@" || status=$?; fi
    if [ "$status" = 124 ]; then echo "stopped after $MINUTES minutes; run again to go on" >&2; exit 75; fi
    return "$status"
}

for labels in $FACES; do
    line despoof prepare "$labels" "$STORE"
done

if [ -z "$START" ]; then
    line despoof train autoencoder "$STORE" "$RUNS/autoencoder" --preset small
    line despoof train identity "$STORE" "$RUNS/identity" "$TEACHER" --preset small
    line despoof train generator "$STORE" "$RUNS/denoiser" "$RUNS/autoencoder/autoencoder.safetensors" \
        "$RUNS/identity/identity.safetensors" --preset small
    line despoof train student "$STORE" "$RUNS/student" "$GENERATOR" --training.steps 1200
    START=$RUNS/student/generator.safetensors
fi

# The one call goes on from its teacher's to the faces themselves, under noise drawn anew for each; half of them are
# shown changed in one place and learn the unchanged face. 94,000 steps of 32 are 3 M faces; what ships took 2,400.
line despoof train student "$STORE" "$RUNS/on-faces" "$START" --training.target face --training.noise pair \
    --training.start-step 351 --training.changed 0.5 --training.changes 3 \
    --training.steps 2400 --training.pixel-weight 0.5 --training.identity-weight 0.2
line despoof study fidelity "$RUNS/fidelity.md" "$STORE" "$RUNS/on-faces/generator.safetensors" "$TEACHER"
