"""Names that the shell completes and that help lists, spelled here because their tables need torch or onnx to load."""

ARCHITECTURES = (
    "VGG11",
    "VGG13",
    "VGG16",
    "VGG19",
    "ResNet20",
    "ResNet32",
    "ResNet44",
    "ResNet56",
    "ResNet110",
    "ResNet18",
    "ResNet34",
    "ResNet50",
)
LOWERINGS = (
    "dense",
    "pad-slice-add",
    "shift",
    "shift-sum",
    "shift-sum(2)",
    "shift-sum(4)",
    "shift-sum(8)",
    "sliced-ellpack(10)",
    "sliced-ellpack(40)",
    "sliced-ellpack(160)",
    "sliced-ellpack(640)",
    "sliced-ellpack(2560)",
    "sliced-ellpack(10240)",
    "shift-chunks",
    "cropped",
    "split(2, shift-sum)",
    "split(2, dense)",
)
DATASETS = ("cifar10", "cifar100", "fashion-mnist", "imagefolder")
