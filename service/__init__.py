"""The online half: a video comes in over HTTP, labels and per-frame attention go out."""
