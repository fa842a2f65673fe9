"""What the add-on tells of itself: log lines and metrics."""
