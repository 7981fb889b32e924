#!/bin/sh
# The main job on real checkpoints that this project ships, trained with Filter Skeletons on Fashion-MNIST: a VGG16 of the
# method's public code, and a narrow VGG11 of the zoo, which is so small that only `tune` makes it faster.
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
echo '$ swp-export bench vgg16.onnx --baseline vgg16-dense.onnx --layers --export bench.json'
swp-export bench demo-output/vgg16.onnx --baseline demo-output/vgg16-dense.onnx --layers --force \
    --export demo-output/bench.json

echo
echo '$ swp-export prune models/vgg11-fashion-mnist/strong.pth'
swp-export prune models/vgg11-fashion-mnist/strong.pth --force --output demo-output/vgg11.onnx \
    --dense-out demo-output/vgg11-dense.onnx --data models/vgg11-fashion-mnist/samples.npz

echo
echo '$ swp-export tune vgg11.onnx --seconds 15'
swp-export tune demo-output/vgg11.onnx --seconds 15 --force --output demo-output/vgg11-tuned.onnx

echo
echo '$ swp-export bench vgg11.onnx vgg11-tuned.onnx --baseline vgg11-dense.onnx'
swp-export bench demo-output/vgg11.onnx demo-output/vgg11-tuned.onnx --baseline demo-output/vgg11-dense.onnx

echo
echo '$ swp-export report prune.json bench.json'
swp-export prune models/vgg16-fashion-mnist/pruned.pth.tar --force --output demo-output/vgg16.onnx --no-verify --json \
    > demo-output/prune.json
swp-export report demo-output/prune.json demo-output/bench.json --force --output demo-output/report.html
echo 'Open demo-output/report.html in a browser: what is left of each layer, and how long it takes.'
