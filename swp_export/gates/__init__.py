"""The gates of a release: what each model must keep to, read from a file, judged, and reported."""
