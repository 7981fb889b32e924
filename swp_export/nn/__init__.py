"""The layers of a network trained with Filter Skeletons."""

from swp_export.nn.batch_norm import BatchNorm2d
from swp_export.nn.filter_stripe import FilterStripe
from swp_export.nn.linear import Linear

__all__ = ["BatchNorm2d", "FilterStripe", "Linear"]
