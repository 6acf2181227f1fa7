"""From an untrusted video file to clips of pixels. Knows nothing of HTTP and nothing of models."""
