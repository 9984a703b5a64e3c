#!/bin/sh
# MultiPoseNet on COCO, the paper's three steps (Section 3.5) and the evaluation, one after the other; a stopped run goes on when started again.
#
# Command:   MANYPOSE_DATA=/data GPUS=4 sh configs/multiposenet/run.sh r50      (or r101)
#            with /data/coco/train2017, /data/coco/val2017 and /data/coco/annotations/person_keypoints_{train,val}2017.json.
#            What follows r50 is added to both train commands, such as: --schedule.epochs 3
set -eu
trunk=${1:-r50}
[ $# -eq 0 ] || shift
annotations=${MANYPOSE_DATA:-data}/coco/annotations
whole=runs/multiposenet_$trunk.safetensors

torchrun --nproc-per-node "${GPUS:-4}" -m manypose train --config "configs/multiposenet/${trunk}_keypoints.yaml" "$@"
torchrun --nproc-per-node "${GPUS:-4}" -m manypose train --config "configs/multiposenet/${trunk}_persons.yaml" "$@"
[ -f runs/multiposenet_prn/prn.safetensors ] ||
    manypose prn train "$annotations/person_keypoints_train2017.json" runs/multiposenet_prn \
        --nodes 1024 --margin 1.0 --extend 0.2 --epochs 1 --batch-size "${PRN_BATCH:-1024}"
manypose prn join "runs/multiposenet_${trunk}_persons/multiposenet-$trunk.safetensors" runs/multiposenet_prn/prn.safetensors "$whole"
manypose evaluate --model "$whole" --dataset coco --images "${MANYPOSE_DATA:-data}/coco/val2017" \
    --annotations "$annotations/person_keypoints_val2017.json" --flip --box-ap --mask-iou
