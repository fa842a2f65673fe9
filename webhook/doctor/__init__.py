"""What is wrong in a cluster that does not pull, and what fixes it: found by reading alone.

`model` is what is found. `pods` groups the Pods that cannot pull; `chain` asks what stands behind them, and the
`chain_*` modules judge each station from plain data. `outputs` writes reports.
"""
