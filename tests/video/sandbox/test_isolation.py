"""Isolation of a decode worker from the machine."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.video.sandbox.pool import Sandbox
from tests.support.videos import encode, moving
from tests.video.sandbox.scenarios import (
    SPEC,
    in_sandbox,
    linux_only,
    num_files_in,
    process_of,
)

pytestmark = pytest.mark.slow


def working_directory_of(process_id: int) -> str:
    return str(Path(f"/proc/{process_id}/cwd").readlink())


@linux_only
def test_the_directory_of_a_running_worker_is_already_removed(long_video: Path, worker_directories: Path) -> None:
    async def scenario(sandbox: Sandbox) -> None:
        async with sandbox.open(long_video, SPEC):
            for process_id in (*sandbox.busy_process_ids, *sandbox.idle_process_ids):
                where = working_directory_of(process_id)
                assert where.startswith(f"{worker_directories}/")
                assert where.endswith(" (deleted)")
            assert num_files_in(worker_directories) == 0

    in_sandbox(scenario)


@linux_only
def test_the_system_kills_a_worker_before_the_service_if_memory_runs_out() -> None:
    def score_of(process_id: int) -> int:
        return int(Path(f"/proc/{process_id}/oom_score_adj").read_text())

    async def scenario(sandbox: Sandbox) -> None:
        assert [score_of(process_id) for process_id in sandbox.idle_process_ids] == [1000, 1000]

    in_sandbox(scenario)


def libraries_of(process_id: int) -> set[str]:
    """The names of the shared libraries that a process has mapped."""
    try:
        lines = Path(f"/proc/{process_id}/maps").read_text().splitlines()
    except PermissionError:
        pytest.skip("a decode worker shows its memory to root only")
    return {Path(line.split(maxsplit=5)[5]).name for line in lines if ".so" in line}


@linux_only
def test_a_worker_loads_one_ffmpeg_and_neither_opencv_nor_an_http_client(tmp_path: Path) -> None:
    turned = encode(tmp_path / "turned.mp4", moving(24), rotation_degrees=90)

    async def scenario(sandbox: Sandbox) -> None:
        async with sandbox.open(turned, SPEC) as sandboxed:
            await anext(sandboxed.clips())
            libraries = libraries_of(process_of(sandboxed))
        assert len([name for name in libraries if name.startswith("libavcodec")]) == 1
        # OpenSSL with a digest in its name is one that came with a package, which the system does not update.
        unexpected = ("cv2", "_ssl", "libssl", "libcrypto-", "_asyncio")
        assert not [name for name in libraries if name.startswith(unexpected)]

    in_sandbox(scenario)


@linux_only
def test_the_reported_isolation_is_effective() -> None:
    attempts = {
        "socket": "__import__('socket').socket()",
        "program": "os.posix_spawn('/bin/true', ['true'], {})",
        "process": "os.fork()",
        "write": "open('file', 'w')",
        "removal": "os.unlink('file')",
        "signal": "os.kill(os.getppid(), 0)",
        "signal to a thread": "check(libc.tgkill(os.getppid(), os.getppid(), 0))",
        "signal by way of a file": "fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
        "limits of another": "resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))",
        "processors of another": "os.sched_setaffinity(os.getppid(), {0})",
        "priority of another": "os.setpriority(os.PRIO_PROCESS, os.getppid(), 0)",
    }
    program = (
        "import ctypes, fcntl, json, os, resource, sys\n"
        "from service.video.sandbox.isolation import isolate\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def check(status):\n"
        "    if status:\n"
        "        raise OSError(ctypes.get_errno(), 'libc')\n"
        "from dataclasses import asdict\n"
        "result = asdict(isolate(1 << 30))\n"
        "refused = {}\n"
        f"for name, attempt in {attempts!r}.items():\n"
        "    try:\n"
        "        eval(attempt)\n"
        "        refused[name] = False\n"
        "    except OSError as error:\n"
        "        refused[name] = error.errno in (1, 27)\n"
        "interfaces = [line.split(':')[0].strip() for line in open('/proc/self/net/dev') if ':' in line]\n"
        "print(json.dumps([result, refused, interfaces]))\n"
    )

    async def run() -> bytes:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
        return (await process.communicate())[0]

    isolation, refused, interfaces = json.loads(asyncio.run(run()))
    if isolation["has_no_network"]:
        assert set(interfaces) <= {"lo"}
    assert isolation["has_no_new_privileges"]
    assert isolation["has_memory_limit"]
    if isolation["has_syscall_filter"]:
        assert all(refused.values()), refused


@linux_only
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has undumpable processes")
def test_become_undumpable_changes_the_state_of_the_process() -> None:
    get_dumpable = 3
    program = (
        "import ctypes\n"
        "from service.video.sandbox.isolation import become_undumpable\n"
        f"dumpable = lambda: ctypes.CDLL(None).prctl({get_dumpable}, 0, 0, 0, 0)\n"
        "print(dumpable(), become_undumpable(), dumpable())\n"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["1", "True", "0"]
