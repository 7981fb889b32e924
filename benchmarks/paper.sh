#!/bin/sh
# Train a row of the paper's table (2009.14410) twice, with and without pruning, and print it beside the paper's:
#
#     sh benchmarks/paper.sh vgg16 [DATA [RUNS]]       also resnet56 (both CIFAR-10) and resnet18 (ImageNet in DATA)
#
# The CIFAR rows are trained as the method's public code trains them. For ImageNet that code was not published: 90
# epochs in batches of 256, as in the training script that it says it is based on, on our schedule. Interrupted, it
# goes on where it was. DEVICE=cpu, DATASET=fashion-mnist and EPOCHS=4 make a small run of it without a GPU.
set -eu
row=$1 data=${2:-data} runs=${3:-runs}
case $row in
vgg16) arch=VGG16 dataset=cifar10 epochs=160 batch=64 sr=1e-5 ;;
resnet56) arch=ResNet56 dataset=cifar10 epochs=160 batch=64 sr=1e-5 ;;
resnet18) arch=ResNet18 dataset=imagefolder epochs=90 batch=256 sr=2e-5 ;;
*) echo "there is no row $row; known are vgg16, resnet56 and resnet18" >&2 && exit 2 ;;
esac
train() {
    swp-export train --arch "$arch" --dataset "${DATASET:-$dataset}" --data-path "$data" --epochs "${EPOCHS:-$epochs}" \
        --batch-size "$batch" --device "${DEVICE:-cuda}" --workers "${WORKERS:-4}" --resume "$@"
}
train --sr 0 --threshold 0 --save "$runs/$row/unpruned"
train --sr "$sr" --threshold 0.01 --save "$runs/$row/pruned"
python "$(dirname "$0")/paper_table.py" "$runs"
