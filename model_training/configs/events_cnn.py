"""What the mean over frames makes of the events: the simple model beside which `events` shows what attention gains."""

from model_training.configs.events import CONFIG as EVENTS

_STAGE = EVENTS.stages[0]

CONFIG = EVENTS.model_copy(
    update={
        "name": "events-cnn",
        "description": "The same five events, told by the mean of what the CNN sees in each frame.",
        "command": (
            "python -m model_training cross-validate --config model_training/configs/events_cnn.py --data DIR"
            " --folds 3 4 --out FILE"
        ),
        "expected_result": (
            "accuracy 0.904 on folds 3 and 4, one seed (800 videos); `events` is right 0.075 (95 %: 0.053 to 0.094)"
            " more often"
        ),
        "intended_use": "Telling what attention gains over a mean, with `cross-validate --against`.",
        "family": "cnn",
        # At the rate of `events` it never leaves chance; at this one it needs twice the epochs.
        "stages": (_STAGE.model_copy(update={"learning_rate": 1e-3, "num_epochs": 40}),),
    }
)
