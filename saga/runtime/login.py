"""Who we are to Kafka, and why it does not let us in."""

import ssl
from typing import Any

from aiokafka.conn import CloseReason, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from saga.core.errors import AccessRefused
from saga.runtime.connection import connection
from saga.runtime.settings import KafkaSettings

_ANSWER_MS = 5_000
_HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""The connection broke, as it does when a broker stops: no word about certificates."""

# What X.509 names, by the short names of RFC 2253, which Kafka uses.
_SHORT_NAMES = {
    "commonName": "CN",
    "organizationalUnitName": "OU",
    "organizationName": "O",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "countryName": "C",
}


def principal(settings: KafkaSettings) -> str:
    """Who we are to Kafka, unless its brokers map names (`ssl.principal.mapping.rules`)."""
    if settings.over_sasl:
        return f"User:{settings.sasl_username}"
    if settings.tls_certificate:
        return f"User:{_subject(settings.tls_certificate)}"
    return "User:ANONYMOUS"


def _subject(certificate: str) -> str:
    # Python tells of a certificate in public only what the other side of a connection has shown.
    decoded: dict[str, Any] = ssl._ssl._test_decode_cert(certificate)  # type: ignore[attr-defined]
    parts = [f"{_SHORT_NAMES.get(name, name)}={value}" for part in decoded["subject"] for name, value in part]
    return ",".join(reversed(parts))


async def refusal(settings: KafkaSettings) -> AccessRefused | None:
    """Why no broker lets us in, if one of them says so; None if one does, or none says anything.

    aiokafka itself only says that it could not connect.
    """
    for server in settings.bootstrap_servers.split(","):
        try:
            await _enter(settings, server.strip())
        except SaslAuthenticationFailed as error:
            return AccessRefused(
                f"Kafka at {server} does not believe that we are {principal(settings)} ({error}). Check "
                "SAGA_SASL_USERNAME, the password, and that the user has credentials for "
                f"{settings.sasl_mechanism} there"
            )
        except (UnsupportedSaslMechanismError, IllegalSaslStateError) as error:
            return AccessRefused(
                f"Kafka at {server} does not take {settings.sasl_mechanism} with "
                f"{settings.security_protocol} ({type(error).__name__}): set SAGA_SASL_MECHANISM or "
                "SAGA_SECURITY_PROTOCOL to what its listener is made for"
            )
        except ssl.SSLCertVerificationError as error:
            return AccessRefused(
                f"Kafka at {server} shows a certificate that is not to be trusted: {error.verify_message}. "
                "Set SAGA_TLS_CA to the authority that has issued it, and reach the broker by the name it is "
                "issued for"
            )
        except _HUNG_UP:
            continue
        except ssl.SSLError as error:
            return AccessRefused(_about_tls(server, error))
        except (KafkaError, OSError, TimeoutError) as error:
            if isinstance(error.__cause__, ssl.SSLError) and not isinstance(error.__cause__, _HUNG_UP):
                return AccessRefused(_about_tls(server, error.__cause__))
            continue
        else:
            return None
    return None


async def _enter(settings: KafkaSettings, server: str) -> None:
    host, _, port = server.rpartition(":")
    options = connection(settings)
    del options["bootstrap_servers"]
    entered = await create_conn(host.strip("[]"), int(port), request_timeout_ms=_ANSWER_MS, **options)
    entered.close(reason=CloseReason.SHUTDOWN)


def _about_tls(server: str, error: ssl.SSLError) -> str:
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "certificate" in reason or "ca" in reason.split():
        return (
            f"Kafka at {server} does not accept our certificate ({reason}): set SAGA_TLS_CERTIFICATE and "
            "SAGA_TLS_KEY to one that its authority has issued"
        )
    return f"Kafka at {server} and we can't agree on TLS: {reason}"
