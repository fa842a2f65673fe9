"""Is the credential accepted by its registry, with which scopes, and until when?

`judging` decides from plain data; `watch` asks, remembers, tells people, and says when to ask again.
"""

from webhook.credential.judging import CredentialReport, CredentialState
from webhook.credential.watch import CredentialFigures, CredentialWatch

__all__ = ["CredentialFigures", "CredentialReport", "CredentialState", "CredentialWatch"]
