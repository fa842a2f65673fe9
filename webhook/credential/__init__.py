"""Is the credential accepted by its registry, for the images in use, with which scopes, and until when?

`judging` says what an answer means, `probing` which image to try, `knowledge` what is remembered and told; all from
plain data. `watch` asks, tells people, and says when to ask again.
"""

from webhook.credential.judging import CredentialReport, CredentialState
from webhook.credential.knowledge import CredentialFigures
from webhook.credential.watch import CredentialWatch

__all__ = ["CredentialFigures", "CredentialReport", "CredentialState", "CredentialWatch"]
