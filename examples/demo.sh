#!/bin/sh
# The main job on a real checkpoint that this project ships: a VGG16 trained with Filter Skeletons on Fashion-MNIST.
# Run by `make demo`; writes to demo-output/.
set -eu
cd "$(dirname "$0")/.."
mkdir -p demo-output

echo '$ swp-export prune models/vgg16-fashion-mnist/pruned.pth.tar'
swp-export prune models/vgg16-fashion-mnist/pruned.pth.tar --force --output demo-output/vgg16.onnx \
    --dense-out demo-output/vgg16-dense.onnx --data models/vgg16-fashion-mnist/samples.npz

echo
echo '$ swp-export verify vgg16.onnx --against models/vgg16-fashion-mnist/pruned.pth.tar'
swp-export verify demo-output/vgg16.onnx --against models/vgg16-fashion-mnist/pruned.pth.tar

echo
echo '$ swp-export bench vgg16.onnx --baseline vgg16-dense.onnx'
swp-export bench demo-output/vgg16.onnx --baseline demo-output/vgg16-dense.onnx
