"""TLS certificates for a webhook: made, renewed and published before they expire.

Knows nothing of what the webhook does. The path of one rotation, file by file:

1. `keeper.py` is woken by a timer or a watch, and reads the Secrets and webhook configurations through `ports.py`.
2. `state.py` decodes the Secrets' data, and encodes what is written back.
3. `inspection.py` reads certificates, keys and CA bundles; what it finds are the plain values of `facts.py`.
4. `plan.py` compares them with what should be, and lists the next actions in order.
5. `keeper.py` applies them one by one; `authority.py` makes what is missing; then it begins again at 1.

`files.py` and `__main__.py` serve those who keep certificates in files: development, tests and operators.
"""
