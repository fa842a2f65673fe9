"""Ask a registry, and GitHub's API where it is GitHub's, about one credential."""

from dataclasses import replace

from webhook.core.concerns import GITHUB_REGISTRY
from webhook.core.images import ImageReference
from webhook.core.vocabulary import CredentialState
from webhook.credential.judging import (
    CredentialReport,
    LoginTarget,
    expiry_from_header,
    judge,
    judge_pull,
    missing_scope,
    scopes_from_header,
)
from webhook.ports import Deadline, Registry


def ask(registry: Registry, target: LoginTarget, image: ImageReference | None, deadline: Deadline) -> CredentialReport:
    """Log in, try an image if there is one, and read what the API says of the token. Never raises.

    Args:
        registry: Whom to ask.
        target: The credential, and the registry it is for.
        image: An image in use for which it is the one that is tried.
        deadline: For all of it.
    """
    answer = registry.login(target.registry, target.credential, deadline)
    report = CredentialReport(
        registry=target.registry,
        state=judge(answer),
        code=answer.code,
        fault=answer.fault,
        failure=answer.failure,
    )
    if report.state is not CredentialState.ACCEPTED:
        return report
    if image is not None:
        pulled = registry.pull(image, target.credential, deadline)
        report = replace(
            report,
            state=CredentialState.UNREADABLE if judge_pull(pulled) is CredentialState.UNREADABLE else report.state,
            probed=image.repository,
            probe=judge_pull(pulled),
            probe_code=pulled.code,
            probe_failure=pulled.failure,
        )
    if target.registry != GITHUB_REGISTRY:
        return report
    headers = registry.token_headers(target.credential, deadline)
    scopes = scopes_from_header(headers.scopes, token=target.credential.password)
    return replace(
        report,
        scopes=scopes,
        missing_scope=missing_scope(scopes),
        expires_at=expiry_from_header(headers.expiration),
        api_failure=headers.failure,
    )
