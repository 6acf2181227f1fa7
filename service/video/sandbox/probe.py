"""`python -m service.video.sandbox.probe`: print the allowed formats that this machine's FFmpeg can read, as JSON.

A separate program, because the process of the service never loads a decoder.
"""

import json
import sys

import av
from av.codec.codec import Capabilities, Codec, UnknownCodecError

from service.video.containers.container import CODECS, CONTAINERS

# Decoders that need a hardware device.
_HARDWARE = Capabilities.hardware | Capabilities.hybrid
# The decoder needs a hardware device, but its capabilities do not say so.
_UNDECLARED_HARDWARE = frozenset({"av1"})


def decodable_codecs() -> list[str]:
    """Allowed codecs that FFmpeg can decode on the processor."""
    found = set()
    for name in av.codecs_available - _UNDECLARED_HARDWARE:
        try:
            codec = Codec(name, "r")
        except UnknownCodecError:
            continue  # This codec only encodes.
        if codec.canonical_name in CODECS and not codec.capabilities & _HARDWARE:
            found.add(codec.canonical_name)
    return sorted(found)


def readable_containers() -> list[str]:
    """API names of the allowed containers that FFmpeg can demux."""
    return sorted(CONTAINERS[name] for name in av.formats_available & CONTAINERS.keys())


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"containers": readable_containers(), "codecs": decodable_codecs()}) + "\n")
