"""Batches: classify the files of a folder or bucket without HTTP."""
