#!/usr/bin/env bash
# hw2_1.sh IMAGES OUT: writes OUT/test_pred.csv, one line 'image_id,label' for each picture.
# HECTARE_MODEL names the weights of a classifier; HECTARE the program, where it is not on the path.
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "usage: HECTARE_MODEL=FILE.safetensors $0 IMAGES OUT" >&2
    exit 2
fi
: "${HECTARE_MODEL:?name the weights, as HECTARE_MODEL=runs/p1/weights/best.safetensors}"
exec "${HECTARE:-hectare}" predict "$HECTARE_MODEL" "$1" --out "$2"
