"""The admission chain of the stand-in API server.

`AdmissionChain` is what the server calls; `warning_headers` cuts and encodes the warnings of one answer.
"""

from standin.admission.chain import AdmissionChain
from standin.admission.warnings import headers as warning_headers
from standin.admission.webhooks import Call

__all__ = ["AdmissionChain", "Call", "warning_headers"]
