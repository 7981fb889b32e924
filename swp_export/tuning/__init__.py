"""The command `tune`: the fastest verified form of a model on the device at hand, and the plan that gives it."""
