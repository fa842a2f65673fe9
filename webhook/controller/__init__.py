"""Turns what happens in the cluster into keys, and keys into reconciler calls."""
