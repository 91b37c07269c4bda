"""Settings of access from the environment: each field is a variable SAGA_<NAME>."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class AccessSettings(BaseSettings):
    """Who may use the API and the pages, and how they sign in."""

    model_config = SettingsConfigDict(env_prefix="SAGA_", frozen=True)

    access_url: Annotated[
        str,
        Field(
            description="URL that people reach the dashboard at, such as https://sagas.example.com. OpenID "
            "Connect needs it; requests to other names are refused then, and cookies are sent by https only."
        ),
    ] = ""
    access_proxies: Annotated[
        str,
        Field(
            description="Addresses or networks of reverse proxies, separated by commas: they are believed "
            "what X-Forwarded-For and X-Forwarded-Proto say."
        ),
    ] = ""
    access_users_file: Annotated[
        Path,
        Field(description="File of `saga users`: names, roles and hashes of passwords."),
    ] = Path("data/users")
    access_idle_minutes: Annotated[
        float, Field(gt=0, description="A session ends when nothing is asked for so long.")
    ] = 120.0
    access_session_hours: Annotated[
        float, Field(gt=0, description="A session ends so long after the sign-in, whatever was asked.")
    ] = 12.0
    access_token_days_max: Annotated[
        int, Field(gt=0, description="How long an API token may last at most.")
    ] = 366

    access_oidc_issuer: Annotated[
        str, Field(description="OpenID Connect: the issuer, as the provider names itself. Empty: none.")
    ] = ""
    access_oidc_client_id: Annotated[str, Field(description="OpenID Connect: our name at the provider.")] = ""
    access_oidc_client_secret: Annotated[
        SecretStr, Field(description="OpenID Connect: our secret there. Empty: a public client.")
    ] = SecretStr("")
    access_oidc_scopes: Annotated[
        str, Field(description="OpenID Connect: what is asked of the provider.")
    ] = "openid profile email"
    access_oidc_name_claim: Annotated[
        str, Field(description="OpenID Connect: the claim that has the name of a user; `sub` if it has none.")
    ] = "preferred_username"
    access_oidc_roles_claim: Annotated[
        str,
        Field(
            description="OpenID Connect: the claim that has a user's groups or roles; dots lead into "
            "objects: `realm_access.roles`."
        ),
    ] = "groups"
    access_oidc_viewers: Annotated[
        str,
        Field(
            description="OpenID Connect: groups that are viewers, separated by commas; `*`: everybody who "
            "can sign in there."
        ),
    ] = ""
    access_oidc_operators: Annotated[
        str, Field(description="OpenID Connect: groups that are operators, separated by commas.")
    ] = ""
    access_oidc_admins: Annotated[
        str, Field(description="OpenID Connect: groups that are admins, separated by commas.")
    ] = ""
