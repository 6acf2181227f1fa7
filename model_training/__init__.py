"""Offline training: reads labelled videos and writes a model directory that the service loads."""

import os

# TensorFlow reads these when it is imported: less log output, and the same kernels as in serving
# (`service.inference.tensorflow_engine`), so that both compute bit-identical probabilities.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
