"""Credential watch: accepted, for which images and scopes, until when.

`judging` says what an answer means, `probing` which image to try, `knowledge` what is remembered and reported; all from
plain data. `watch` asks, reports, and says when to ask again.
"""

from webhook.credential.judging import CredentialReport
from webhook.credential.watch import CredentialWatch

__all__ = ["CredentialReport", "CredentialWatch"]
