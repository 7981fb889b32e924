"""`python -m swp_export`."""

from swp_export.cli import main

if __name__ == "__main__":
    main()
