"""Diagnosis of a cluster that does not pull, by reading alone.

`model` is what is found. `pods` groups the Pods that cannot pull; `run` asks what stands behind them, and the
`chain_*` modules judge each station from plain data. `rendering` writes reports.
"""
