"""decord, asked over standard input which frames it is to decode: one JSON object a line, and one back."""

import json
import sys
import time

import decord


def main() -> None:
    """Answer jobs until standard input ends."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        started_at = time.process_time()
        num_pictures = 0
        try:
            reader = decord.VideoReader(
                job["path"], ctx=decord.cpu(0), width=job["width"], height=job["height"], num_threads=1
            )
            num_pictures = len(reader.get_batch(job["wanted"]).asnumpy())
        except Exception as error:  # noqa: BLE001 - whatever it cannot decode is reported as such
            print(error, file=sys.stderr)
        print(json.dumps({"seconds": time.process_time() - started_at, "num_pictures": num_pictures}), flush=True)


if __name__ == "__main__":
    main()
