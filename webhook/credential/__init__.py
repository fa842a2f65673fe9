"""Credential watch: accepted, for which images and scopes, until when.

`judging` says what an answer means, `probing` which image to try, `knowledge` what is remembered and reported; all from
plain data. `asking` asks about one credential; `watch` says when, and reports.
"""

from webhook.credential.watch import CredentialWatch

__all__ = ["CredentialWatch"]
