"""Writes CycloneDX lists of everything that the service is made of: `python requirements/sbom.py DIRECTORY`.

`framewise-server.cdx.json` lists the packages of `requirements/serve.txt` as they are installed beside this Python.
With `--image NAME`, `framewise-image.cdx.json` lists the packages of Debian and Python in that image, and its models.
Both also list the shared libraries and the Rust crates in the packages. `cyclonedx-py` reads the packages' metadata;
each list is validated against the schema of CycloneDX 1.6.
"""

import argparse
import base64
import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path, PurePosixPath
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[1]
LICENCES = tomllib.loads((ROOT / "requirements" / "licences.toml").read_text(encoding="utf-8"))

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)
_SHARED_LIBRARY = re.compile(r"(?:^|/)(?:[^/]+\.libs|\.dylibs|libs)/(?P<stem>lib[^/]+?)\.(?:so|dylib)[^/]*$")
_VERSION_OF_LIBRARY = re.compile(r"(?:\.so\.|\.)(?P<version>\d+(?:\.\d+)*[a-z]?)(?:\.dylib)?$")
_DIGEST_IN_STEM = re.compile(r"-[0-9a-f]{8}(?:-[0-9a-f]{8})?$")


class ListFailed(Exception):
    """The list cannot be made; the message is one line."""


def server_list() -> dict[str, Any]:
    """The list of the server with its pinned packages, as installed here."""
    pins = {_normal(name): version for name, version in _PIN.findall(_text("requirements/serve.txt"))}
    installed = {_normal(each.metadata["Name"]): each for each in distributions()}
    directory = Path(tempfile.mkdtemp(prefix="sbom-"))
    try:
        for name in pins.keys() & installed.keys():
            if installed[name].version != pins[name]:
                raise ListFailed(f"{name} {installed[name].version} is installed instead of {pins[name]}")
            metadata = Path(str(installed[name].locate_file(""))) / _metadata_directory(installed[name])
            shutil.copytree(metadata, directory / metadata.name)
        bom = _packages(directory)
    finally:
        shutil.rmtree(directory)
    bom["components"].append(_client())
    return bom


def image_list(image: str) -> dict[str, Any]:
    """The list of what is in a container image."""
    content = _in_image(image, "cd /opt/venv/lib/python3*/site-packages && tar -c *.dist-info")
    directory = Path(tempfile.mkdtemp(prefix="sbom-"))
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(directory, filter="data")
        bom = _packages(directory)
    finally:
        shutil.rmtree(directory)
    root = bom["metadata"]["component"]
    root |= {"type": "container", "name": "framewise", "properties": [_property("image", _image_id(image))]}
    root.pop("purl")
    bom["components"] += [_client(), _component("framewise-server", _version(), "pypi", licence="Apache-2.0")]
    bom["components"] += [*_debian_packages(image), _python(image), *_models(image)]
    return bom


def complete(bom: dict[str, Any]) -> str:
    """The list as JSON, with references from the root to each component.

    Raises:
        ListFailed: the list does not fit the schema.
    """
    root = bom["metadata"]["component"]
    components = sorted(bom["components"], key=lambda component: component["bom-ref"])
    bom["components"] = components
    known = {entry["ref"]: entry for entry in bom["dependencies"]}
    known[root["bom-ref"]] = {
        "ref": root["bom-ref"],
        "dependsOn": [component["bom-ref"] for component in components],
    }
    for component in components:
        known.setdefault(component["bom-ref"], {"ref": component["bom-ref"]})
    bom["dependencies"] = [known[reference] for reference in sorted(known)]
    text = json.dumps(bom, indent=2, sort_keys=True) + "\n"
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        raise ListFailed(f"the list does not fit the schema: {str(error)[:500]}")
    return text


def _packages(metadata: Path) -> dict[str, Any]:
    """The list of the packages whose `.dist-info` directories are in `metadata`."""
    environment = metadata / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)  # noqa: S603
    (site_packages,) = (environment / "lib").glob("python*/site-packages")
    infos = sorted(metadata.glob("*.dist-info"))
    for info in infos:
        shutil.move(info, site_packages / info.name)
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml")]
    command += ["--output-reproducible", "--spec-version", "1.6", "--no-validate", str(environment / "bin" / "python")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ListFailed(f"cyclonedx-py failed: {done.stderr.strip()[-500:]}")
    bom: dict[str, Any] = json.loads(done.stdout)
    root = bom["metadata"]["component"]
    root |= {"version": _version(), "purl": f"pkg:pypi/framewise-server@{_version()}"}
    by_name = {_normal(info.name.partition("-")[0]): site_packages / info.name for info in infos}
    for component in bom["components"]:
        name = _normal(component["name"])
        if not component.get("licenses"):
            if name not in LICENCES["packages"]:
                raise ListFailed(f"{name} states no licence: add it to requirements/licences.toml")
            component["licenses"] = [{"expression": LICENCES["packages"][name]}]
        component["licenses"] = _allowed_licences(component["licenses"])
        parts = [*_shared_libraries(name, by_name[name]), *_embedded(name, by_name[name])]
        if parts:
            component["components"] = parts
    return bom


def _allowed_licences(licences: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An expression alone, as the schema wants it, or all licences."""
    expressions = [licence for licence in licences if "expression" in licence]
    return expressions[:1] or licences


def _shared_libraries(package: str, info: Path) -> Iterator[dict[str, Any]]:
    """The shared libraries in a package, with the digests that its RECORD states."""
    with (info / "RECORD").open(encoding="utf-8", newline="") as record:
        for path, digest, *_ in csv.reader(record):
            found = _SHARED_LIBRARY.search(path)
            if found is None:
                continue
            stem = _DIGEST_IN_STEM.sub("", found["stem"])
            version = _VERSION_OF_LIBRARY.search(path)
            component = {
                "type": "library",
                "bom-ref": f"{package}/{PurePosixPath(path).name}",
                "name": stem,
                "licenses": [{"expression": licence_of_library(package, stem)}],
                "properties": [_property("file", path)],
            }
            if version is not None:
                component["version"] = version["version"]
            if digest.startswith("sha256="):
                raw = base64.urlsafe_b64decode(digest.removeprefix("sha256=") + "=")
                component["hashes"] = [{"alg": "SHA-256", "content": raw.hex()}]
            yield component


def licence_of_library(package: str, stem: str) -> str:
    """The licence of a shared library, from the longest start of its name in `licences.toml`.

    Raises:
        ListFailed: the file names no licence.
    """
    known: dict[str, str] = LICENCES["libraries"].get(package, {})
    starts = [start for start in known if stem.startswith(start)]
    if not starts:
        raise ListFailed(f"{package} contains {stem}: add its licence to requirements/licences.toml")
    return known[max(starts, key=len)]


def _embedded(package: str, info: Path) -> Iterator[dict[str, Any]]:
    """The components of the lists that the package itself contains, such as its Rust crates."""
    for file in sorted((info / "sboms").glob("*.json")):
        for number, part in enumerate(json.loads(file.read_text(encoding="utf-8")).get("components", [])):
            if _normal(part["name"]) == package:
                continue
            kept = {key: part[key] for key in ("type", "name", "version", "purl", "licenses") if part.get(key)}
            yield kept | {"bom-ref": f"{package}/{file.name}/{number}"}


def _client() -> dict[str, Any]:
    return _component("framewise", _version(), "pypi", licence="Apache-2.0")


def _component(name: str, version: str, kind: str, licence: str | None = None, qualifiers: str = "") -> dict[str, Any]:
    purl = f"pkg:{kind}/{name}@{version.replace(':', '%3A').replace('+', '%2B').replace('~', '~')}{qualifiers}"
    component = {"type": "library", "bom-ref": purl, "name": name.rpartition("/")[2], "version": version, "purl": purl}
    return component | ({"licenses": [{"expression": licence}]} if licence else {})


def _debian_packages(image: str) -> Iterator[dict[str, Any]]:
    release = _in_image(image, ". /etc/os-release && echo $ID-$VERSION_ID").decode().strip()
    listed = _in_image(image, r"dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\n'").decode()
    for line in listed.splitlines():
        name, version, architecture = line.split("\t")
        qualifiers = f"?arch={architecture}&distro={release}"
        yield _component(f"debian/{name}", version, "deb", qualifiers=qualifiers) | {
            "properties": [_property("licence", f"/usr/share/doc/{name}/copyright")]
        }


def _python(image: str) -> dict[str, Any]:
    version = _in_image(image, "python -c 'import platform; print(platform.python_version())'").decode().strip()
    return _component("python", version, "generic", licence="PSF-2.0") | {"type": "platform"}


def _models(image: str) -> Iterator[dict[str, Any]]:
    for line in _in_image(image, "sha256sum /app/models/*/*/manifest.json").decode().splitlines():
        digest, path = line.split()
        name, version = PurePosixPath(path).parts[-3:-1]
        yield {
            "type": "machine-learning-model",
            "bom-ref": f"model/{name}/{version}",
            "name": name,
            "version": version,
            # The manifest states the digests of all files of the model.
            "hashes": [{"alg": "SHA-256", "content": digest}],
            "properties": [_property("file", path)],
        }


def _in_image(image: str, command: str) -> bytes:
    docker = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", command]
    done = subprocess.run(docker, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise ListFailed(f"the image cannot be read: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return done.stdout


def _image_id(image: str) -> str:
    command = ["docker", "image", "inspect", "--format", "{{.Id}}", image]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def has_image(image: str) -> bool:
    """Whether a container engine answers and has that image."""
    if shutil.which("docker") is None:
        return False
    done = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)  # noqa: S603, S607
    return done.returncode == 0


def _metadata_directory(distribution: Any) -> str:
    """The name of the `.dist-info` directory."""
    return next(file.parts[0] for file in distribution.files if file.parts[0].endswith(".dist-info"))


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"framewise:{name}", "value": value}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _version() -> str:
    found = re.search(r'^__version__ = "(.*)"$', _text("framewise/version.py"), re.MULTILINE)
    assert found is not None
    return found[1]


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def main() -> int:
    """Write the lists, and print the path and the number of components of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--image", help="also list this image, if the container engine has it")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    try:
        _write(arguments.directory / "framewise-server.cdx.json", server_list())
        if arguments.image and has_image(arguments.image):
            _write(arguments.directory / "framewise-image.cdx.json", image_list(arguments.image))
        elif arguments.image:
            print(f"No list of the image: {arguments.image} is not built here (docker compose build).")
    except ListFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _write(path: Path, bom: dict[str, Any]) -> None:
    text = complete(bom)
    path.write_text(text, encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    print(f"{path}: {len(bom['components'])} components, sha256 {digest}")


if __name__ == "__main__":
    sys.exit(main())
