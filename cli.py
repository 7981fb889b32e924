"""Run swp-export from a checkout: python cli.py prune ..."""

from swp_export.cli import main

if __name__ == "__main__":
    main()
