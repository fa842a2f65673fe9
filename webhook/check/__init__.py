"""The webhook's decisions on manifest files, without a cluster.

`sources` reads files, `documents` and `plain` make objects of them, `evidence` keeps what bears on decisions, `judging`
asks `webhook.core`, `findings` says what came of it, `fixing` edits, and `outputs` writes reports.
"""
