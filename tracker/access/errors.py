"""The errors of access, a branch of the tree in `saga.core.errors`.

SagaError
├── UserFileUnusable      the user file can't be read or written, or anybody may read it
├── ProviderUnusable      the OpenID provider does not answer, or not as it must
├── Unprotected           others than this machine could ask, and nobody would have to sign in
├── UndeclaredRole        a route does not say which role it needs
└── AccessRefused         somebody may not do what was asked; has a status of HTTP
    ├── SignInNeeded          nobody is signed in, or no longer
    ├── SignInRefused         these credentials give no access here
    ├── NotPermitted          the role is too low
    ├── CrossSite             another site sent the request
    ├── TooManyTries          so many sign-ins failed that the next has to wait
    └── AuditUnavailable      what is asked can't be written down, so it isn't done
"""

from saga.core.errors import SagaError


class UserFileUnusable(SagaError):
    """The user file can't be used. The message names the line, or the rights it must have."""


class ProviderUnusable(SagaError):
    """The OpenID provider does not answer, or breaks the protocol. Look at its log, and at the settings."""


class Unprotected(SagaError):
    """Everybody who reaches this address would be an admin. The message says what to do."""


class UndeclaredRole(SagaError):
    """A route does not say who may call it. Give it `Depends(permitted(Role.…))`."""


class AccessRefused(SagaError):
    """Somebody may not do what was asked. `status` is HTTP's."""

    status = 403


class SignInNeeded(AccessRefused):
    """Nobody is signed in: sign in, or send a token as `Authorization: Bearer`."""

    status = 401


class SignInRefused(AccessRefused):
    """These credentials give no access."""


class NotPermitted(AccessRefused):
    """The role is too low: ask an admin for another."""


class CrossSite(AccessRefused):
    """A page of another site sent it, or it was sent to a name that is not ours."""


class TooManyTries(AccessRefused):
    """Wait, and try again."""

    status = 429

    def __init__(self, wait_ms: int) -> None:
        self.wait_seconds = -(-wait_ms // 1000)
        super().__init__(f"too many sign-ins have failed: try again in {self.wait_seconds} s")


class AuditUnavailable(AccessRefused):
    """The audit log does not take the record, so nothing was done: see whether Kafka answers."""

    status = 503
