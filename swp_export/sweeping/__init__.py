"""Which threshold? A network at many of them: what is left, what it gets right, how fast it is."""
