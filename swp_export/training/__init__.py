"""Training with Filter Skeletons: data, the loop, and what a run leaves behind."""
