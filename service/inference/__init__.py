"""From clips of pixels to probabilities. Knows nothing of HTTP and nothing of video files."""
