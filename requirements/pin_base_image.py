"""Pins the base image of the Dockerfile to the digest that its tag has now, or checks that it is pinned.

`python requirements/pin_base_image.py [--check] [DOCKERFILE]`. The digest is that of the index of all platforms, as the
registry states it to the container engine. `--check` asks no registry. Exits with status 1 and one line when the image
is not, or cannot be, pinned.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_BASE = re.compile(r"^FROM (?P<image>[^\s@]+:[^\s@]+)(?:@(?P<digest>sha256:[0-9a-f]{64}))? AS base$", re.MULTILINE)
_DIGEST = re.compile(r"^Digest:\s+(sha256:[0-9a-f]{64})$", re.MULTILINE)


class NotPinned(Exception):
    """The image has no digest; the message is one line."""


def pin(dockerfile: Path) -> str:
    """Write the digest into `dockerfile`, and return the image with it."""
    text = dockerfile.read_text(encoding="utf-8")
    image = _base(text, dockerfile)["image"]
    pinned = f"{image}@{current_digest(image)}"
    dockerfile.write_text(_BASE.sub(f"FROM {pinned} AS base", text), encoding="utf-8")
    return pinned


def check(dockerfile: Path) -> str:
    """Return the image with its digest."""
    base = _base(dockerfile.read_text(encoding="utf-8"), dockerfile)
    if base["digest"] is None:
        raise NotPinned(f"{dockerfile.name} names {base['image']} without a digest. Run: make pin-base")
    return f"{base['image']}@{base['digest']}"


def current_digest(image: str) -> str:
    """The digest that the registry states for the tag of `image`."""
    docker = shutil.which("docker")
    if docker is None:
        raise NotPinned("the digest is asked through docker, which is not installed here")
    command = [docker, "buildx", "imagetools", "inspect", image]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    found = _DIGEST.search(done.stdout)
    if done.returncode or found is None:
        reason = done.stderr.strip().splitlines()[-1:] or ["no digest in the answer"]
        raise NotPinned(f"the registry states no digest for {image}: {reason[0]}")
    return found[1]


def _base(text: str, dockerfile: Path) -> re.Match[str]:
    found = _BASE.search(text)
    if found is None:
        raise NotPinned(f"{dockerfile.name} has no line `FROM image:tag AS base`")
    return found


def main() -> int:
    """Pin or check; print the image with its digest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("dockerfile", nargs="?", type=Path, default=ROOT / "Dockerfile")
    arguments = parser.parse_args()
    try:
        print(check(arguments.dockerfile) if arguments.check else pin(arguments.dockerfile))
    except (NotPinned, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
