"""Who somebody is, and what they may do."""

from enum import IntEnum
from typing import Literal, NamedTuple, Self

How = Literal["local", "password", "oidc", "token"]


class Role(IntEnum):
    """Each may do what those below it may: look, act upon sagas, give others access."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def text(self) -> str:
        """As it is written in files, settings and answers."""
        return self.name.lower()

    @classmethod
    def of(cls, text: str) -> Self:
        """The role of this name.

        Raises
        ------
        ValueError
            There is none; the message names those there are.
        """
        for role in cls:
            if role.text == text:
                return role
        raise ValueError(f"there is no role {text!r}: it is one of {', '.join(role.text for role in cls)}")


class Principal(NamedTuple):
    """Who asks.

    Attributes
    ----------
    name : of the user, or of the API token.
    how : `local`: on loopback, and there are no users; `password`: of the user file; `oidc`: of the
        OpenID provider; `token`: a program with an API token.
    """

    name: str
    role: Role
    how: How
