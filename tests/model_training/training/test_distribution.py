"""Distributed training gives the weights of training on one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = pytest.mark.tensorflow

ROOT = Path(__file__).parents[3]


def _start(tmp_path: Path, name: str, *distributions: str, tf_config: object = None) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    if tf_config is not None:
        environment["TF_CONFIG"] = json.dumps(tf_config)
    arguments = (tmp_path, tmp_path / "clips.npz", tmp_path / f"{name}.npz", *distributions)
    with (tmp_path / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.training.one_trainer", *map(str, arguments)],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=ROOT,
        )


def _weights(tmp_path: Path, name: str, process: subprocess.Popen[bytes]) -> dict[str, NDArray[np.float32]]:
    assert process.wait(timeout=240) == 0, (tmp_path / f"{name}.log").read_text()
    with np.load(tmp_path / f"{name}.npz") as stored:
        return dict(stored)


def _assert_alike(weights: dict[str, NDArray[np.float32]], one: str, other: str) -> None:
    names = [name for name in weights if name.startswith(f"{one}.")]
    assert len(names) > 10
    for name in names:
        np.testing.assert_allclose(weights[name], weights[name.replace(one, other, 1)], atol=1e-4)


def _write_clips(path: Path) -> None:
    random = np.random.default_rng(0)
    frames: dict[str, Any] = {f"frames.{i}": random.integers(0, 255, (4, 16, 16, 3), np.uint8) for i in range(6)}
    np.savez(path, **frames)


def _free_ports(count: int) -> list[int]:
    """Distinct free ports; all are bound at the same time, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_two_devices_train_the_weights_of_one(tmp_path: Path) -> None:
    _write_clips(tmp_path / "clips.npz")
    weights = _weights(tmp_path, "devices", _start(tmp_path, "devices", "one", "mirrored"))
    _assert_alike(weights, "one", "mirrored")


@pytest.mark.distributed
def test_two_machines_train_the_weights_of_one(tmp_path: Path) -> None:
    _write_clips(tmp_path / "clips.npz")
    cluster = {"worker": [f"127.0.0.1:{port}" for port in _free_ports(2)]}
    workers = {
        f"worker-{index}": _start(
            tmp_path,
            f"worker-{index}",
            "multi_worker",
            tf_config={"cluster": cluster, "task": {"type": "worker", "index": index}},
        )
        for index in range(2)
    }
    workers["alone"] = _start(tmp_path, "alone", "one")
    try:
        found = [_weights(tmp_path, name, process) for name, process in workers.items()]
    finally:
        for process in workers.values():
            process.kill()
            process.wait()
    for worker in found[:2]:
        _assert_alike(worker | found[2], "one", "multi_worker")
    # Only the first worker writes the checkpoint.
    assert (tmp_path / "multi_worker" / "checkpoint.npz").exists()
