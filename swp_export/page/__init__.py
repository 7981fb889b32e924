"""One self-contained HTML page, and pictures for papers, from the JSON documents of the commands."""
