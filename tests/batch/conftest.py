"""A prediction to write."""

import pytest

from framewise.schemas.prediction import Prediction


@pytest.fixture(scope="session")
def prediction() -> Prediction:
    """A prediction with a value in every field."""
    return Prediction.model_validate(
        {
            "request_id": "1",
            "model": {"name": "grey", "version": "1", "digest": "sha256:00"},
            "prediction": {"label": "dark", "probability": 0.75, "accepted": True},
            "probabilities": [
                {"label": "dark", "probability": 0.75, "accepted": True},
                {"label": "bright", "probability": 0.25, "accepted": False},
            ],
            "label_set": ["dark"],
            "clips": [{"start_seconds": 0.0, "end_seconds": 2.0, "label": "dark", "probability": 0.75}],
            "frames": [{"clip": 0, "index": 3, "time_seconds": 0.5, "attention": 1.0}],
            "video": {
                "container": "mp4",
                "codec": "h264",
                "width": 64,
                "height": 48,
                "rotation_degrees": 0,
                "is_mirrored": False,
                "duration_seconds": 2.0,
                "frame_rate": None,
                "is_variable_frame_rate": False,
                "num_frames_decoded": 16,
                "num_frames_sampled": 8,
                "audio": "none",
            },
            "warnings": [{"code": "truncated_video", "message": "Short."}],
            "timings_ms": {"receive": 0.0, "decode": 1.5, "queue": 0.5, "model": 2.0, "total": 4.0},
        }
    )
