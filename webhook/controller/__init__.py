"""Controller: events to keys, keys to reconciler calls."""
