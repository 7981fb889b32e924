"""The layers of a network with Filter Skeletons, what trains them, and what saves them."""

from swp_export.nn.batch_norm import BatchNorm2d
from swp_export.nn.convert import convert
from swp_export.nn.filter_stripe import FilterStripe
from swp_export.nn.linear import Linear
from swp_export.nn.save import save
from swp_export.nn.skeleton_update import SkeletonUpdate, freeze_skeletons

__all__ = ["BatchNorm2d", "FilterStripe", "Linear", "SkeletonUpdate", "convert", "freeze_skeletons", "save"]
