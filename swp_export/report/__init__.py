"""Reports: tables for the terminal, JSON, and a self-contained page."""
