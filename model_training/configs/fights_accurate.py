"""Fight or no fight, more accurate and slower: a 3D CNN on the motion crop."""

from model_training.config import MotionCropConfig, StageConfig
from model_training.configs.fights import CONFIG as FIGHTS
from service.video.clip import ClipSpec

CONFIG = FIGHTS.model_copy(
    update={
        "name": "fights-accurate",
        "data_licence": (
            "The collection is under the MIT licence; the footage belongs to those who uploaded it. No frame of it is"
            " part of this model's directory. The CNN starts from I3D's Kinetics-400 weights (Apache-2.0)."
        ),
        "command": "python -m model_training train --config model_training/configs/fights_accurate.py --data DIR",
        "expected_result": (
            "0.874 +- 0.011 over five folds and three seeds (single folds: +- 0.039; 95 % interval 0.843 to 0.906),"
            " calibration error 0.031"
        ),
        "intended_use": (
            "As a starting point for a model trained on one's own cameras, where accuracy is worth eight times the"
            " work. A person looks at whatever it flags."
        ),
        "limits": (
            "Trained on 46 sources only; expect less on cameras it has not seen: on collections other than the one it"
            " was trained on, models of this kind lose much of their accuracy. It crops to the most motion and misses"
            " a fight in a corner while traffic passes; crowds, sport and dancing look like fights to it."
        ),
        "clip": ClipSpec(
            num_frames=32, height=320, width=568, frames_per_second=16, stride_seconds=1.0, fit="letterbox"
        ),
        "backbone": "i3d",
        "motion_crop": MotionCropConfig(size=224),
        "input": "frames",
        "teacher": None,
        "stages": (
            StageConfig(
                name="head",
                num_epochs=30,
                learning_rate=1e-3,
                backbone="frozen",
                num_feature_views=3,
                patience_epochs=30,
                kept_epoch="last",
            ),
            # One epoch of fine-tuning of every layer. At ten times this learning rate the validation loss became worse
            # on one fold of four, and not much better on any.
            StageConfig(
                name="all", num_epochs=1, learning_rate=1e-5, backbone="all", batch_norm="frozen", kept_epoch="last"
            ),
        ),
        "stored_precision": "float16",
    }
)
