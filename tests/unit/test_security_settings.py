"""Settings of TLS and SASL: what fits together, what is told of what does not, and that no secret is."""

import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from saga import DeclarationError
from saga.runtime.connection import connection
from saga.runtime.settings import KafkaSettings
from tests.certificates import Authority

SECRET = "not-to-be-seen"
SASL = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "orders"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"security_protocol": "TLS"}, "SAGA_SECURITY_PROTOCOL: Input should be 'PLAINTEXT'"),
        ({"sasl_mechanism": "GSSAPI"}, "SAGA_SASL_MECHANISM: Input should be 'PLAIN'"),
        (
            {"sasl_username": "orders", "sasl_password": SECRET},
            "SAGA_SASL_PASSWORD, SAGA_SASL_USERNAME would be ignored, since SAGA_SECURITY_PROTOCOL is "
            "PLAINTEXT: set it to SASL_SSL or SASL_PLAINTEXT",
        ),
        ({"security_protocol": "SSL", "sasl_username": "orders"}, "SAGA_SASL_USERNAME would be ignored"),
        ({**SASL, "sasl_password": SECRET, "tls_ca": "ca.pem"}, "SAGA_TLS_CA would be ignored"),
        ({"tls_check_hostname": False}, "SAGA_TLS_CHECK_HOSTNAME would be ignored"),
        ({"security_protocol": "SASL_SSL", "sasl_password": SECRET}, "set SAGA_SASL_USERNAME"),
        (SASL, "set either SAGA_SASL_PASSWORD or SAGA_SASL_PASSWORD_FILE"),
        ({**SASL, "sasl_password": SECRET, "sasl_password_file": "p"}, "needs one password"),
        ({"security_protocol": "SSL", "tls_key": "key.pem"}, "set SAGA_TLS_CERTIFICATE as well"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(DeclarationError, match=re.escape(told)) as refused:
        KafkaSettings(**given)

    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None  # pydantic's own message would show what was given


def test_the_environment_is_read_and_secrets_stay_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("SAGA_SASL_MECHANISM", "PLAIN")
    monkeypatch.setenv("SAGA_SASL_USERNAME", "orders")
    monkeypatch.setenv("SAGA_SASL_PASSWORD", SECRET)
    monkeypatch.setenv("SAGA_TLS_CA", "")  # as a compose file passes a variable that is not set

    settings = KafkaSettings(bootstrap_servers="a:1,b:2")

    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert connection(settings) == {
        "bootstrap_servers": "a:1,b:2",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "orders",
        "sasl_plain_password": SECRET,
    }


def test_without_settings_a_client_talks_in_the_clear() -> None:
    assert connection(KafkaSettings()) == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "PLAINTEXT",
    }


def test_the_password_may_be_in_a_file_that_changes(tmp_path: Path) -> None:
    file = tmp_path / "password"
    settings = KafkaSettings(**SASL, sasl_password_file=str(file))  # type: ignore[arg-type]

    with pytest.raises(DeclarationError, match=r"SAGA_SASL_PASSWORD_FILE: .* can't be read: No such file"):
        connection(settings)
    file.write_text("\n")
    with pytest.raises(DeclarationError, match="is empty"):
        connection(settings)
    for password in ("old", "new"):
        file.write_text(f"{password}\n")
        assert connection(settings)["sasl_plain_password"] == password


def test_brokers_must_show_a_certificate_for_their_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    strict = connection(KafkaSettings(security_protocol="SSL", tls_ca=str(authority.certificate)))
    loose = connection(
        KafkaSettings(security_protocol="SSL", tls_ca=str(authority.certificate), tls_check_hostname=False)
    )

    assert (strict["ssl_context"].check_hostname, strict["ssl_context"].verify_mode) == (
        True,
        ssl.CERT_REQUIRED,
    )
    assert (loose["ssl_context"].check_hostname, loose["ssl_context"].verify_mode) == (
        False,
        ssl.CERT_REQUIRED,
    )


def test_certificates_that_can_not_be_used_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("orders", password=SECRET)
    _, other_key = authority.issue("other")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("none")

    def made(**given: Any) -> object:
        return connection(KafkaSettings(security_protocol="SSL", **given))["ssl_context"]

    assert made(tls_certificate=str(certificate), tls_key=str(key), tls_key_password=SECRET)
    for given, told in (
        ({"tls_ca": str(tmp_path / "none.pem")}, "SAGA_TLS_CA: .*none.pem can't be read: No such file"),
        ({"tls_ca": str(nonsense)}, "SAGA_TLS_CA: .* holds no certificates in PEM format"),
        ({"tls_certificate": str(certificate), "tls_key": str(key)}, "SAGA_TLS_KEY_PASSWORD"),
        (
            {"tls_certificate": str(certificate), "tls_key": str(key), "tls_key_password": "wrong"},
            "SAGA_TLS_KEY_PASSWORD",
        ),
        ({"tls_certificate": str(certificate), "tls_key": str(other_key)}, "belong together"),
        ({"tls_certificate": str(certificate)}, "private key in .*orders.pem"),
    ):
        with pytest.raises(DeclarationError, match=told) as refused:
            made(**given)
        assert SECRET not in str(refused.value)
