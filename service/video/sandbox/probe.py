"""`python -m service.video.sandbox.probe`: the allowed containers and codecs that this machine's FFmpeg can read.

Prints them as one line of JSON. A program of its own, because the service's process never loads a decoder.
"""

import json
import sys

import av
from av.codec.codec import Capabilities, Codec, UnknownCodecError

from service.video.containers.container import CODECS, CONTAINERS

# Decoders on devices, which we never open.
_ON_DEVICES = Capabilities.hardware | Capabilities.hybrid
# Decodes only with a device, and does not say so.
_ON_DEVICES_UNSAID = frozenset({"av1"})


def decodable_codecs() -> list[str]:
    """The allowed codecs for which there is a decoder that runs on the processor."""
    found = set()
    for name in av.codecs_available - _ON_DEVICES_UNSAID:
        try:
            codec = Codec(name, "r")
        except UnknownCodecError:
            continue  # It only encodes.
        if codec.canonical_name in CODECS and not codec.capabilities & _ON_DEVICES:
            found.add(codec.canonical_name)
    return sorted(found)


def readable_containers() -> list[str]:
    """What we call the allowed containers for which there is a demuxer."""
    return sorted(CONTAINERS[name] for name in av.formats_available & CONTAINERS.keys())


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"containers": readable_containers(), "codecs": decodable_codecs()}) + "\n")
