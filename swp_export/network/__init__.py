"""From a checkpoint and a threshold to the network that everything else is measured against."""
