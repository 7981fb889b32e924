"""Equivalence: inputs, comparison, error budget, first diverging layer."""
