"""The command `train`: train a config on labelled videos and export the model."""

import sys
import tempfile

from model_training.commands.train_options import TrainInputs, TrainOptions
from model_training.config_file import read_config
from model_training.cross_validation.record import read_cross_validation
from model_training.datasets.examples import read_examples
from model_training.datasets.preparation import split_by_config
from model_training.export.model_directory import check_version_is_free, next_version
from model_training.progress import RunProgress
from service.inference.manifest import Manifest


def train(options: TrainOptions) -> None:
    """Train a config on labelled videos and export the model.

    An interrupted run continues when the same command is given again.
    """
    inputs = _read_inputs(options)
    # TensorFlow takes seconds to import: invalid inputs fail before.
    from model_training.commands.train_steps import calibrate, export, fit, is_exporter, prepare  # noqa: PLC0415

    with RunProgress() as display:
        prepared = prepare(inputs, options, display)
        trained = fit(prepared, options, display)
        if not is_exporter(inputs.config):
            sys.stdout.write("done; the first worker exports the model\n")
            return
        temperature = calibrate(prepared, trained)
        manifest = export(prepared, trained, temperature, options, display)
    _report(manifest, inputs, options)


def _read_inputs(options: TrainOptions) -> TrainInputs:
    """Read and check all inputs that need no decoding.

    Raises:
        TrainingError: an input is invalid, or the version exists.
        OSError: a directory cannot be written.
    """
    config = read_config(options.config)
    examples = read_examples(options.data)
    split_by_config(config, examples)
    cross_validation = None
    if options.cross_validation is not None:
        cross_validation = read_cross_validation(
            config, examples, options.cross_validation, skip_unreadable=options.skip_unreadable
        )
    for directory in (options.models, options.runs):
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    version = options.version or next_version(options.models, config.name)
    check_version_is_free(options.models, config.name, version)
    return TrainInputs(config=config, examples=examples, cross_validation=cross_validation, version=version)


def _report(manifest: Manifest, inputs: TrainInputs, options: TrainOptions) -> None:
    """Print where the model is and its accuracy."""
    directory = options.models / inputs.config.name / inputs.version
    if "held_out" in manifest.metrics:
        accuracy, videos = manifest.metrics["held_out"]["accuracy"], f"held-out fold {inputs.config.held_out_fold}"
    else:
        accuracy, videos = manifest.metrics["validation"]["accuracy"], "validation videos; no fold was held out"
    sys.stdout.write(f"{directory}: accuracy {accuracy:.3f} ({videos})\n")
