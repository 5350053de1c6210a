#!/usr/bin/env bash
# hw2_2_best.sh IMAGES OUT: writes OUT/NNNN_mask.png for each NNNN_sat.jpg.
# HECTARE_MODEL names the weights of an FCN8s; HECTARE the program, where it is not on the path.
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "usage: HECTARE_MODEL=FILE.safetensors $0 IMAGES OUT" >&2
    exit 2
fi
: "${HECTARE_MODEL:?name the weights, as HECTARE_MODEL=runs/p2/weights/best.safetensors}"
exec "${HECTARE:-hectare}" predict "$HECTARE_MODEL" "$1" --out "$2"
