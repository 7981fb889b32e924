"""The commands, one a file: each parses, calls the function of its name, and prints."""
