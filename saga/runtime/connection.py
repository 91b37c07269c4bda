"""How every Kafka client of this project connects: where to, over TLS or not, and as whom."""

import ssl
from pathlib import Path
from typing import Any

from saga.core.errors import DeclarationError
from saga.runtime.settings import KafkaSettings


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """The options of an aiokafka client that say how it connects.

    Files are read here, so a new client has the password and the certificate of today.

    Raises
    ------
    DeclarationError
        A file that the settings name can't be read, or is not what it should be.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
    }
    if settings.over_tls:
        options["ssl_context"] = _tls(settings)
    if settings.over_sasl:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = _password(settings)
    return options


def _password(settings: KafkaSettings) -> str:
    password = settings.sasl_password.get_secret_value()
    if password:
        return password
    path = settings.sasl_password_file
    try:
        password = Path(path).read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(f"SAGA_SASL_PASSWORD_FILE: {path} can't be read: {_reason(error)}") from error
    if not password:
        raise DeclarationError(f"SAGA_SASL_PASSWORD_FILE: {path} is empty: write the password into it")
    return password


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    authorities, certificate, key = settings.tls_ca, settings.tls_certificate, settings.tls_key
    for variable, path in (
        ("SAGA_TLS_CA", authorities),
        ("SAGA_TLS_CERTIFICATE", certificate),
        ("SAGA_TLS_KEY", key),
    ):
        if path:
            _check_readable(variable, path)
    try:
        context = ssl.create_default_context(cafile=authorities or None)
    except ssl.SSLError as error:
        raise DeclarationError(f"SAGA_TLS_CA: {authorities} holds no certificates in PEM format") from error
    context.check_hostname = settings.tls_check_hostname
    if certificate:
        # Never None: Python would ask for the password of an encrypted key on the terminal.
        password = settings.tls_key_password.get_secret_value()
        try:
            context.load_cert_chain(certificate, key or None, password)
        except (ssl.SSLError, ValueError) as error:
            raise DeclarationError(
                f"SAGA_TLS_CERTIFICATE: {certificate} and the private key in {key or certificate} can't be "
                "used. Both must be in PEM format and belong together, and an encrypted key needs "
                f"SAGA_TLS_KEY_PASSWORD ({_reason(error)})"
            ) from error
    return context


def _check_readable(variable: str, path: str) -> None:
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise DeclarationError(f"{variable}: {path} can't be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
