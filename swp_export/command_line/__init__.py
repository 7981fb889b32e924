"""What the command line alone uses: shared options, tables for the terminal, exit codes."""
