"""Decodes frames with decord. Requests and responses are JSON lines on standard input and output."""

import json
import sys
import time

import decord


def main() -> None:
    """Process requests until standard input ends."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        started_at = time.process_time()
        num_pictures = 0
        try:
            reader = decord.VideoReader(
                request["path"], ctx=decord.cpu(0), width=request["width"], height=request["height"], num_threads=1
            )
            num_pictures = len(reader.get_batch(request["wanted"]).asnumpy())
        except Exception as error:  # noqa: BLE001 - the response reports missing pictures
            print(error, file=sys.stderr)
        print(json.dumps({"seconds": time.process_time() - started_at, "num_pictures": num_pictures}), flush=True)


if __name__ == "__main__":
    main()
