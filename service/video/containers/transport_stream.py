"""Detects scrambled MPEG transport streams by their packet headers (ISO/IEC 13818-1); FFmpeg does not report them."""

from collections import Counter
from pathlib import Path

_SYNC_BYTE = 0x47
_PACKET_BYTES = (188, 192, 204)
_MAX_BYTES_READ = 2 << 20
_MIN_PACKETS_IN_SYNC = 5


def is_scrambled(path: Path) -> bool:
    """Whether most packets of a stream in the first 2 MiB of the file at `path` are scrambled."""
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES_READ)
    total: Counter[int] = Counter()
    scrambled: Counter[int] = Counter()
    for start, size in _layouts(data):
        for position in range(start, len(data) - 4, size):
            identifier = (data[position + 1] & 0x1F) << 8 | data[position + 2]
            total[identifier] += 1
            scrambled[identifier] += data[position + 3] >> 6 != 0
        break
    return any(2 * count > total[identifier] for identifier, count in scrambled.items())


def _layouts(data: bytes) -> list[tuple[int, int]]:
    """(position of the first packet, bytes per packet) of each layout with regular sync bytes."""
    return [
        (start, size)
        for size in _PACKET_BYTES
        for start in range(size)
        if len(data) > start + _MIN_PACKETS_IN_SYNC * size
        and all(data[start + number * size] == _SYNC_BYTE for number in range(_MIN_PACKETS_IN_SYNC))
    ]
