"""A registry of container images that holds one image."""

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator

INDEX = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": "sha256:" + "1" * 64,
                "size": 2,
                "platform": {"architecture": architecture, "os": "linux"},
            }
            for architecture in ("amd64", "arm64")
        ],
    }
).encode()
DIGEST = f"sha256:{hashlib.sha256(INDEX).hexdigest()}"


@contextlib.contextmanager
def image_registry(repository: str, tag: str) -> Iterator[str]:
    """Serve `INDEX` as that tag on a port of this machine; yields the address of the registry."""
    paths = {"/v2/", f"/v2/{repository}/manifests/{tag}", f"/v2/{repository}/manifests/{DIGEST}"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer with the index."""
            self._answer(has_body=True)

        def do_HEAD(self) -> None:
            """Answer with the headers of the index."""
            self._answer(has_body=False)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def _answer(self, *, has_body: bool) -> None:
            body = INDEX if self.path in paths else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "application/vnd.oci.image.index.v1+json")
            self.send_header("Docker-Content-Digest", DIGEST)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if has_body:
                self.wfile.write(body)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
