"""The user file: for its owner alone, read again when it changes, and never half written."""

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from tests.access_kit import PASSWORD, put_user
from tracker.access.errors import UserFileUnusable
from tracker.access.password import LENGTH_MAX, LENGTH_MIN, UnusablePassword, hashed, is_hash, matches
from tracker.access.role import Role
from tracker.access.users import Users, read_users, user_name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "users"


def test_a_user_is_kept_with_role_and_hash_and_nobody_else_may_read_it(path: Path) -> None:
    put_user(path, "ada", Role.ADMIN)
    put_user(path, "bob", Role.VIEWER)

    assert {user.name: user.role for user in read_users(path).values()} == {
        "ada": Role.ADMIN,
        "bob": Role.VIEWER,
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PASSWORD not in path.read_text()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_file_that_others_may_read_or_write_is_refused(path: Path, mode: int) -> None:
    put_user(path, "ada", Role.ADMIN)
    path.chmod(mode)

    with pytest.raises(UserFileUnusable, match="chmod 600"):
        Users(path)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ada admin", "users:2: .* this one 2 parts"),
        ("ada boss $argon2id$", "users:2: .*no Argon2id hash"),
        ("ada admin secret", "users:2: .*no Argon2id hash"),
        ("Ada admin x", "small letters"),
        ("a:b admin x", "no name of a user"),
    ],
)
def test_a_line_that_is_none_is_named(path: Path, line: str, why: str) -> None:
    path.parent.mkdir()
    path.write_text(f"# users\n{line}\n")
    path.chmod(0o600)

    with pytest.raises(UserFileUnusable, match=why):
        read_users(path)


def test_a_role_that_is_none_and_a_name_that_comes_twice_are_refused(path: Path) -> None:
    put_user(path, "ada", Role.ADMIN)
    line = path.read_text().splitlines()[-1]
    path.write_text(line.replace(" admin ", " boss ") + "\n")
    with pytest.raises(UserFileUnusable, match="no role 'boss': it is one of viewer, operator, admin"):
        read_users(path)
    path.write_text(f"{line}\n{line}\n")
    with pytest.raises(UserFileUnusable, match="twice"):
        read_users(path)


def test_it_is_read_again_when_it_changes(path: Path) -> None:
    users = Users(path)
    assert not users.all()
    put_user(path, "ada", Role.VIEWER)
    assert users.all()["ada"].role is Role.VIEWER
    put_user(path, "ada", Role.ADMIN)
    assert users.all()["ada"].role is Role.ADMIN
    path.unlink()
    assert not users.all()


def test_what_is_broken_while_we_run_changes_nothing_until_it_is_mended(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put_user(path, "ada", Role.ADMIN)
    users = Users(path)
    path.write_text("mallory admin nothing\n")
    assert set(users.all()) == {"ada"}
    assert [record.message for record in caplog.records if "stay as they were" in record.message]
    path.write_text("")
    assert not users.all()


def test_whoever_changes_it_at_the_same_time_loses_nothing(path: Path) -> None:
    names = [f"user{number}" for number in range(12)]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(put_user, [(path, name, Role.VIEWER) for name in names])

    assert set(read_users(path)) == set(names)
    assert sorted(os.listdir(path.parent)) == ["users", "users.lock"]


@pytest.mark.parametrize("text", ["", "a b", "ä", "a\nadmin", "a\rb", "-a", "a" * 65, "a#", "../a"])
def test_names_that_would_break_a_line_are_refused(text: str) -> None:
    with pytest.raises(UserFileUnusable, match="no name of a user"):
        user_name(text)


def test_a_name_is_the_same_in_capitals() -> None:
    assert user_name(" Ada.L@Example.com ") == "ada.l@example.com"


def test_a_password_is_found_again_however_it_is_typed() -> None:
    kept = hashed("Zo\u00eb's long password")  # ë in one code point

    assert is_hash(kept)
    assert matches(kept, "Zoe\u0308's long password")  # and in two
    assert not matches(kept, "Zoe's long password")
    assert not matches(None, "Zo\u00eb's long password")
    assert not matches(kept, "\udcff" * 20)


@pytest.mark.parametrize("length", [0, LENGTH_MIN - 1, LENGTH_MAX + 1])
def test_passwords_too_short_or_too_long_are_refused(length: int) -> None:
    with pytest.raises(UnusablePassword, match=f"this one {length}$"):
        hashed("x" * length)
