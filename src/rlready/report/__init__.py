"""Reports of run folders: a self-contained HTML page."""
