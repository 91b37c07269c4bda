"""The local Kafka with users, certificates and ACLs, on a listener for each way to connect."""

import hashlib
import os
import shlex
from pathlib import Path
from typing import Any

from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from saga.core.access import Right
from saga.local import LocalKafka
from saga.local.port import HOST, free_port
from saga.runtime.kafka import admin
from saga.runtime.settings import KafkaSettings
from tests.certificates import Authority

PASSWORD = "correct horse"
PROTOCOLS = ("PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL", "SSL")
PLAIN_USER = "plain"
"""The only user whom PLAIN knows: its passwords are in the configuration of the broker."""

_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
_ITERATIONS = 4096
_MECHANISMS = ((1, "sha256"), (2, "sha512"))
"""Kafka's numbers of both kinds of SCRAM, and their digests."""


_RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5}
_PATTERNS = {"literal": 3, "prefixed": 4}
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8}
_ALLOW = 3


class SecuredKafka:
    """Whoever comes in the clear may do everything; anybody else what ACLs allow."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        certificate, key = self.authority.issue("broker", host=HOST)
        self._folder = folder
        (folder / "keystore.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
        self._ports = {protocol: free_port() for protocol in PROTOCOLS}
        self.broker = LocalKafka(port=self._ports["PLAINTEXT"], properties=self._properties())
        self.admin = KafkaSettings(bootstrap_servers=self.servers("PLAINTEXT"))

    def servers(self, protocol: str) -> str:
        return f"{HOST}:{self._ports[protocol]}"

    def environment(self, protocol: str, user: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """The settings of a process that connects as this user, with its password or its certificate."""
        given = {
            "SAGA_SECURITY_PROTOCOL": protocol,
            "SAGA_BOOTSTRAP_SERVERS": self.servers(protocol),
            "SAGA_TOPIC_PARTITIONS": "2",
        }
        if protocol.startswith("SASL"):
            given |= {
                "SAGA_SASL_MECHANISM": mechanism,
                "SAGA_SASL_USERNAME": user,
                "SAGA_SASL_PASSWORD": PASSWORD,
            }
        if protocol.endswith("SSL"):
            given["SAGA_TLS_CA"] = str(self.authority.certificate)
        if protocol == "SSL":
            certificate, key = self.authority.issue(user)
            given |= {"SAGA_TLS_CERTIFICATE": str(certificate), "SAGA_TLS_KEY": str(key)}
        return given

    def settings(
        self, protocol: str, user: str, mechanism: str = "SCRAM-SHA-512", **other: Any
    ) -> KafkaSettings:
        """The same for this process."""
        environment = self.environment(protocol, user, mechanism)
        return KafkaSettings(
            **{name.removeprefix("SAGA_").lower(): value for name, value in environment.items()} | other
        )

    async def add_user(self, user: str) -> None:
        """Give a user credentials for both kinds of SCRAM."""
        async with admin(self.admin) as client:
            for number, digest in _MECHANISMS:
                answer = await client._send_request(_AddUser(user, number, digest))
                assert [code for _, code, *_ in answer.results] == [0], answer

    async def allow(self, command: str) -> None:
        """Do what a `kafka-acls.sh` command that somebody was told would do."""
        async with admin(self.admin) as client:
            for acl in _acls(command):
                answer = await client._send_request(CreateAclsRequest(**acl))
                assert [code for code, _ in answer.creation_responses] == [0], answer

    async def take(self, right: Right, principal: str) -> None:
        """Take a right away again."""
        async with admin(self.admin) as client:
            answer = await client._send_request(
                DeleteAclsRequest(
                    resource_type=_RESOURCES[right.resource],
                    resource_name=right.name,
                    resource_pattern_type_filter=_PATTERNS["prefixed" if right.prefixed else "literal"],
                    principal=principal,
                    host="*",
                    operation=_OPERATIONS[right.operation],
                    permission_type=_ALLOW,
                )
            )
        [(code, _, matching)] = answer.filter_responses
        assert (code, len(matching)) == (0, 1), answer

    def _properties(self) -> dict[str, str]:
        controller = free_port()
        listeners = [f"{protocol}://{HOST}:{port}" for protocol, port in self._ports.items()]
        properties = {
            "listeners": ",".join([*listeners, f"CONTROLLER://{HOST}:{controller}"]),
            "advertised.listeners": ",".join(listeners),
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "listener.security.protocol.map": ",".join(
                [*(f"{protocol}:{protocol}" for protocol in PROTOCOLS), "CONTROLLER:PLAINTEXT"]
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._folder / "keystore.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.certificate),
            "listener.name.ssl.ssl.client.auth": "required",
        }
        for listener in ("sasl_plaintext", "sasl_ssl"):
            prefix = f"listener.name.{listener}"
            properties[f"{prefix}.plain.sasl.jaas.config"] = (
                f'{_PLAIN} required user_{PLAIN_USER}="{PASSWORD}";'
            )
            for mechanism in ("scram-sha-256", "scram-sha-512"):
                properties[f"{prefix}.{mechanism}.sasl.jaas.config"] = f"{_SCRAM} required;"
        return properties


def _acls(command: str) -> list[dict[str, Any]]:
    """The ACLs of a command, as `kafka-acls.sh` makes them: each operation on each resource."""
    words = shlex.split(command)
    assert words[0] == "kafka-acls.sh"
    assert words[3] == "--add"
    options = list(zip(words[1:3:2], words[2:3:2], strict=True)) + list(
        zip(words[4::2], words[5::2], strict=True)
    )
    given: dict[str, list[str]] = {}
    for name, value in options:
        given.setdefault(name.removeprefix("--"), []).append(value)
    known = {"bootstrap-server", "allow-principal", "operation", "resource-pattern-type", *_RESOURCES}
    assert given.keys() <= known, given
    [pattern] = given.get("resource-pattern-type", ["literal"])
    [principal] = given["allow-principal"]
    return [
        {
            "resource_type": number,
            "resource_name": name,
            "resource_pattern_type_filter": _PATTERNS[pattern],
            "principal": principal,
            "host": "*",
            "operation": _OPERATIONS[operation],
            "permission_type": _ALLOW,
        }
        for resource, number in _RESOURCES.items()
        for name in given.get(resource, [])
        for operation in given["operation"]
    ]


class _AddUserResponse(Response):
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AddUserRequest(RequestStruct):
    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _AddUserResponse
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AddUser(Request[_AddUserRequest]):
    API_KEY = 51

    def __init__(self, user: str, number: int, digest: str) -> None:
        salt = os.urandom(16)
        salted = hashlib.pbkdf2_hmac(digest, PASSWORD.encode(), salt, _ITERATIONS)
        self._upsertion: tuple[object, ...] = (user, number, _ITERATIONS, salt, salted, {})

    def build(self, request_struct_class: type[_AddUserRequest]) -> _AddUserRequest:
        return request_struct_class([], [self._upsertion], {})
