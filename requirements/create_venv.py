"""Creates a virtual environment with uv in it, or prints one line that says why it cannot.

`python3 requirements/create_venv.py DIRECTORY [GOAL]`; GOAL is the make target to name in the message.

Runs on any Python 3, so that an unsupported one gets an error message instead of a syntax error. Leaves no directory
behind when it fails.
"""

import os
import shutil
import subprocess
import sys

SUPPORTED = ((3, 11), (3, 12), (3, 13))
"""The same versions as `requires-python` in pyproject.toml."""

UV = os.path.join(os.path.dirname(os.path.abspath(__file__)), "uv.txt")
"""The pin of uv, with hashes: uv checks the hashes of everything else."""

HASHED = ("--require-hashes", "--only-binary", ":all:", "--no-deps")
"""Options of pip: install the pinned wheels and nothing else, so that no code of a package runs while it is built."""


class EnvironmentFailed(Exception):
    """The environment cannot be created; the message is one line for the person at the terminal."""


def check_version(version, goal):
    """Raise EnvironmentFailed where Framewise does not run on this version of Python."""
    if tuple(version[:2]) in SUPPORTED:
        return
    if tuple(version[:2]) > SUPPORTED[-1]:
        reason = "TensorFlow has no release for it"
    else:
        reason = "it is older than " + _text(SUPPORTED[0])
    supported = [_text(each) for each in SUPPORTED]
    raise EnvironmentFailed(
        "Python {} is not supported: {}. Use Python {} or {}: make {} PYTHON={}".format(
            _text(version[:3]), reason, ", ".join(supported[:-1]), supported[-1], goal, _suggested_python()
        )
    )


def check_modules(goal):
    """Raise EnvironmentFailed where Python comes without the modules that create environments."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        pass
    else:
        return
    version = _text(sys.version_info[:2])
    if os.path.exists("/etc/debian_version"):
        remedy = "{}apt install python{}-venv".format("" if os.geteuid() == 0 else "sudo ", version)
        raise EnvironmentFailed(
            "Python {} cannot create virtual environments, because its package venv is missing. Install it: {}".format(
                version, remedy
            )
        )
    raise EnvironmentFailed(
        "Python {} cannot create virtual environments, because its modules venv and ensurepip are missing. "
        "Install them, or use another Python: make {} PYTHON={}".format(version, goal, _suggested_python())
    )


def create(directory):
    """Create the environment and install uv in it; raises EnvironmentFailed, and then nothing is left."""
    is_new = not os.path.exists(directory)
    try:
        _run([sys.executable, "-m", "venv", directory])
        _run([os.path.join(directory, "bin", "python"), "-m", "pip", "install", "--quiet", *HASHED, "-r", UV])
    except BaseException:
        if is_new:
            shutil.rmtree(directory, ignore_errors=True)
        raise


def _run(command):
    try:
        status = subprocess.call(command)
    except OSError as error:
        raise EnvironmentFailed("{} cannot be run: {}".format(command[0], error)) from error
    if status != 0:
        raise EnvironmentFailed("This command failed, its reason is above: " + " ".join(command))


def _text(version):
    return ".".join(str(number) for number in version)


def _suggested_python():
    """The newest supported interpreter on PATH, or the newest supported one where there is none."""
    names = ["python" + _text(version) for version in reversed(SUPPORTED)]
    directories = os.environ.get("PATH", "").split(os.pathsep)
    found = [name for name in names if any(os.path.isfile(os.path.join(each, name)) for each in directories)]
    return (found or names)[0]


def main():
    """Create the environment; 0 when it is there, 1 after the one line that says why it is not."""
    directory, goal = [*sys.argv[1:], "demo"][:2]
    os.environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    try:
        check_version(sys.version_info, goal)
        check_modules(goal)
        create(directory)
    except EnvironmentFailed as error:
        sys.stderr.write(str(error) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
