"""What every package uses: settings, errors, records, statistics, progress."""
