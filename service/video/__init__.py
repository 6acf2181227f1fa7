"""Decodes untrusted video files into clips of pixels. Independent of HTTP and of models."""
