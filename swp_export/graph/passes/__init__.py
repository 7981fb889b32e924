"""Rewrites of a graph, one in each file; none of them changes what it computes."""
