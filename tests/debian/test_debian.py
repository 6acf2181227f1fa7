"""`make demo` on a bare Debian, made by debootstrap from the mirror that this machine's apt uses.

Run by `make test-debian`. Needs root, debootstrap, a Debian mirror and the package index.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.debian, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
CHECKOUT = "/framewise"
PACKAGES = "python3,make,git,ca-certificates"
# The Debian root uses the package index and the mirror of this machine.
PASSED_ON = re.compile(r"(PIP|UV)_.*|(https?|no|all)_proxy|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE", re.IGNORECASE)
PASSED_ON_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/uv/uv.toml")
CERTIFICATES = "/usr/local/share/ca-certificates"
APT_OPTIONS = re.compile(r"^Acquire::(.*::)?(Proxy|CaInfo|Check-).*", re.MULTILINE | re.IGNORECASE)


def output_of(*command: str) -> str:
    """The output of a program of this machine; empty if it fails or is not installed."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def debian_mirror() -> str | None:
    """The Debian mirror of this machine; None on another system."""
    codename = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    targets = output_of("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)")
    if codename is None or not Path("/etc/debian_version").exists():
        return None
    found = re.search(rf"^{codename[1]} main (\S+)$", targets, re.MULTILINE)
    return None if found is None else found[1]


class DebianRoot:
    """A Debian in a directory. Programs run in it as root, with `/proc` and `/dev`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program in it; standard output and standard error are merged."""
        # The mounts end with the program.
        mount_and_run = 'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", mount_and_run, str(self.directory), *command],  # noqa: S607
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": "/root",
                "LANG": "C.UTF-8",
                "DEBIAN_FRONTEND": "noninteractive",
                **{name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)},
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def make_demo(self) -> subprocess.CompletedProcess[str]:
        """Run `make demo` in the checkout."""
        return self.run("make", "--no-print-directory", "-C", CHECKOUT, "demo")


@pytest.fixture(params=["trixie", "bookworm"])
def debian(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DebianRoot]:
    """A bare Debian 13 or 12 with this checkout, python3, make and git, but without python3-venv."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a Debian root")
    if shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is not installed")
    mirror = debian_mirror()
    if mirror is None:
        pytest.skip("apt of this machine knows no Debian mirror")
    directory = tmp_path / "debian"
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", request.param, str(directory), mirror],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"debootstrap failed: {(made.stdout + made.stderr).strip().splitlines()[-1]}")
    root = DebianRoot(directory)
    if (mounted := root.run("true")).returncode != 0:
        pytest.skip(f"a Debian root cannot be entered here: {mounted.stdout.strip()}")
    connect(root)
    copy_checkout(directory / CHECKOUT.removeprefix("/"))
    yield root
    shutil.rmtree(directory)


def connect(root: DebianRoot) -> None:
    """Copy the network configuration and certificates of this machine."""
    for name in PASSED_ON_FILES:
        if Path(name).exists():
            inside = root.directory / name.removeprefix("/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, inside)
    options = APT_OPTIONS.finditer(output_of("apt-config", "dump"))
    (root.directory / "etc/apt/apt.conf.d/99host").write_text("".join(f"{option[0]}\n" for option in options))
    for certificate in Path(CERTIFICATES).glob("*.crt"):
        shutil.copy(certificate, root.directory / CERTIFICATES.removeprefix("/"))
    assert root.run("update-ca-certificates").returncode == 0


def copy_checkout(directory: Path) -> None:
    """Copy the tracked and untracked files of this checkout, without ignored ones."""
    listed = output_of("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, directory / name)


def test_a_bare_debian_gets_the_command_that_it_needs_and_then_runs_the_demo(debian: DebianRoot) -> None:
    refused = debian.make_demo()
    assert refused.returncode == 2
    (line,) = [line for line in refused.stdout.splitlines() if not line.startswith("make: ***")]
    _, _, command = line.partition("Install it: ")
    assert re.fullmatch(r"apt install python3\.\d+-venv", command), line
    assert not (debian.directory / CHECKOUT.removeprefix("/") / ".venv").exists()

    updated = debian.run("apt-get", "update")
    assert updated.returncode == 0, updated.stdout
    installed = debian.run(*command.split(), "-y")
    assert installed.returncode == 0, installed.stdout

    ran = debian.make_demo()
    assert ran.returncode == 0, ran.stdout
    assert "The service stopped cleanly." in ran.stdout
