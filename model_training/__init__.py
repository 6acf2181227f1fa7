"""The offline half: labelled videos in, a served model directory out."""

import os

# Read when TensorFlow is imported, by whichever module is first: its chatter is no progress, and its kernels
# are to be those of the service (`service.inference.engine`), so that both give the same answers to the last bit.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
