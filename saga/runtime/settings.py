"""Settings from the environment: each field is a variable SAGA_<NAME>."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from saga.core.errors import DeclarationError

Guarantee = Literal["exactly-once", "at-least-once"]
SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

SASL_FIELDS = ("sasl_mechanism", "sasl_username", "sasl_password", "sasl_password_file")
TLS_FIELDS = ("tls_ca", "tls_certificate", "tls_key", "tls_key_password", "tls_check_hostname")


class Settings(BaseSettings):
    """What all settings have in common: what is wrong with them is said in one line, without any secret."""

    model_config = SettingsConfigDict(env_prefix="SAGA_", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="wrap")
    @classmethod
    def _told_in_one_line(cls, values: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate(values)
        except ValidationError as error:
            raise DeclarationError("; ".join(map(_explained, error.errors(include_input=False)))) from None


class KafkaSettings(Settings):
    """How to reach Kafka, and how topics are made there.

    Raises
    ------
    DeclarationError
        A variable has no valid value, or variables contradict each other. No secret is in the message.
    """

    bootstrap_servers: Annotated[str, Field(description="Kafka brokers, host:port separated by commas.")] = (
        "127.0.0.1:9092"
    )
    connect_timeout_seconds: Annotated[
        float,
        Field(gt=0, description="How long to wait for Kafka at start, with backoff, before giving up."),
    ] = 120.0
    security_protocol: Annotated[
        SecurityProtocol,
        Field(
            description="How clients talk to the brokers: in the clear (PLAINTEXT), over TLS (SSL), with a "
            "user and password (SASL_PLAINTEXT), or both (SASL_SSL). See docs/security.md."
        ),
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[
        SaslMechanism,
        Field(description="SASL: how the password is proven; SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN."),
    ] = "SCRAM-SHA-512"
    sasl_username: Annotated[str, Field(description="SASL: the user.")] = ""
    sasl_password: Annotated[SecretStr, Field(description="SASL: the user's password.")] = SecretStr("")
    sasl_password_file: Annotated[
        str,
        Field(description="SASL: a file with the password instead, read again whenever a client starts."),
    ] = ""
    tls_ca: Annotated[
        str,
        Field(
            description="TLS: PEM file of the authorities that may vouch for brokers. Empty: those of the "
            "system."
        ),
    ] = ""
    tls_certificate: Annotated[
        str, Field(description="TLS: PEM file of the client's own certificate, for brokers that ask for one.")
    ] = ""
    tls_key: Annotated[
        str,
        Field(description="TLS: PEM file of its private key. Empty: it is in the file of the certificate."),
    ] = ""
    tls_key_password: Annotated[
        SecretStr, Field(description="TLS: the password of the private key, if it is encrypted.")
    ] = SecretStr("")
    tls_check_hostname: Annotated[
        bool, Field(description="TLS: whether a broker's certificate must be for the name it is reached by.")
    ] = True
    topic_partitions: Annotated[
        int, Field(gt=0, description="Partitions of topics that do not exist yet.")
    ] = 8
    topic_replicas: Annotated[
        int, Field(gt=0, description="Replicas of topics that do not exist yet; 3 in production.")
    ] = 1
    span_create: Annotated[
        bool,
        Field(
            description="With an OpenTelemetry SDK: whether each published event gets a span of its own, to "
            "which its consumers' spans refer (true), or they refer to the span it was published in (false)."
        ),
    ] = True

    @property
    def over_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol in ("SSL", "SASL_SSL")

    @property
    def over_sasl(self) -> bool:
        """Whether clients say who they are by user and password."""
        return self.security_protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        given = {name for name in (*SASL_FIELDS, *TLS_FIELDS) if self._given(name)}
        self._refuse_ignored(given & set(SASL_FIELDS), self.over_sasl, "SASL_SSL or SASL_PLAINTEXT")
        self._refuse_ignored(given & set(TLS_FIELDS), self.over_tls, "SASL_SSL or SSL")
        if self.over_sasl and "sasl_username" not in given:
            raise DeclarationError(f"{self.security_protocol} needs a user: set SAGA_SASL_USERNAME")
        if self.over_sasl and len(given & {"sasl_password", "sasl_password_file"}) != 1:
            raise DeclarationError(
                f"{self.security_protocol} needs one password: set either SAGA_SASL_PASSWORD or "
                "SAGA_SASL_PASSWORD_FILE"
            )
        if given & {"tls_key", "tls_key_password"} and "tls_certificate" not in given:
            raise DeclarationError("a private key is for a certificate: set SAGA_TLS_CERTIFICATE as well")
        return self

    def _given(self, name: str) -> bool:
        """Whether it is set to something that is not the default."""
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    def _refuse_ignored(self, given: set[str], counts: bool, protocols: str) -> None:
        if given and not counts:
            variables = ", ".join(_variable(name) for name in sorted(given))
            raise DeclarationError(
                f"{variables} would be ignored, since SAGA_SECURITY_PROTOCOL is {self.security_protocol}: "
                f"set it to {protocols}"
            )


def _variable(name: str) -> str:
    return f"SAGA_{name.upper()}"


def _explained(problem: Any) -> str:
    return f"{'.'.join(_variable(str(place)) for place in problem['loc'])}: {problem['msg']}"


class ServiceSettings(KafkaSettings):
    """How a service runs. What it does is declared in code (`saga.Service`)."""

    instance: Annotated[
        str,
        Field(
            description="Name of this instance, unique among those of the service and the same after a "
            "restart: its open transaction is then ended at once instead of after the timeout. Empty: a "
            "random one."
        ),
    ] = ""
    batch_records: Annotated[int, Field(gt=0, le=4000, description="Records taken from Kafka at once.")] = (
        1000
    )
    in_flight_records: Annotated[
        int, Field(gt=0, description="Records taken and not yet committed; beyond that none are taken.")
    ] = 4000
    linger_ms: Annotated[
        int,
        Field(
            ge=0,
            description="How long finished events wait for slower ones of the same batch before they are "
            "committed without them.",
        ),
    ] = 5
    remembered_events: Annotated[
        int, Field(ge=0, description="Ids of handled events that are remembered to collapse repeats.")
    ] = 200_000
    event_bytes_max: Annotated[
        int, Field(gt=0, description="Larger events are refused; the brokers' message.max.bytes less 10 %.")
    ] = 900_000
    session_timeout_ms: Annotated[
        int, Field(gt=0, description="After so long without a sign of life Kafka gives the partitions away.")
    ] = 45_000
    transaction_timeout_ms: Annotated[
        int,
        Field(
            gt=0,
            description="After so long Kafka ends the open transaction of a service that stopped. Readers "
            "behind it wait meanwhile.",
        ),
    ] = 10_000
    revoke_grace_ms: Annotated[
        int,
        Field(
            ge=0,
            description="How long a rebalance waits for running handlers; then they are cancelled and their "
            "events go to the new owner.",
        ),
    ] = 1_000
    stop_grace_ms: Annotated[int, Field(ge=0, description="How long SIGTERM waits for running handlers.")] = (
        10_000
    )
    offsets_interval_ms: Annotated[
        int,
        Field(
            gt=0,
            description="How often offsets are committed with which no event or receipt goes: all of an "
            "at-least-once service, and those of records that are not for it.",
        ),
    ] = 200
    span_parent: Annotated[
        bool,
        Field(
            description="Whether the span of a handler continues the trace of its event (true) or starts "
            "its own and links to it (false)."
        ),
    ] = True
    span_continue_max_ms: Annotated[
        int,
        Field(
            ge=0,
            description="A retry that waited longer than this starts a new trace, with a link to its event, "
            "since samplers that judge whole traces have judged the old one by then.",
        ),
    ] = 30_000
