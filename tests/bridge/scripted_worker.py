"""A real worker with scripted jobs: the name of the behaviour travels in the request's `checkpoint`.

`scripted_worker.py [MARKER MISCHIEF]`: while the file MARKER does not exist, make it and do the mischief
instead of serving, so that a second start of the same command works.
"""

import os
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bridge.memory import in_smaller_chunks
from bridge.protocol import PROTOCOL_VERSION, HeadRequest, Hello, Ready, Request
from bridge.worker import JobFailedError, Report, Result, serve


class ScriptedJobs:
    def __init__(self, hello: Hello) -> None:
        if hello.device == "cuda":
            raise JobFailedError("setup", "There is no CUDA here: choose CPU.")
        self.runs = 0

    def ready(self) -> Ready:
        return Ready(PROTOCOL_VERSION, platform.python_version(), "", "cpu", "scripted", 1024, ())

    def run(self, request: Request, report: Report) -> Result:
        assert isinstance(request, HeadRequest)
        self.runs += 1
        return getattr(self, request.checkpoint)(request, report)

    def _result(self, **facts: object) -> Result:
        return Result(info={"pid": os.getpid(), "runs": self.runs, **facts})

    def steps(self, request: HeadRequest, report: Report) -> Result:
        for step in range(request.seed):
            report("sample", step + 1, request.seed)
            time.sleep(0.005)
        return self._result()

    def deaf(self, request: HeadRequest, report: Report) -> Result:
        report("sample", 1, 2)
        time.sleep(request.seed)
        return self._result()

    def noise(self, request: HeadRequest, report: Report) -> Result:
        print("printed noise")
        os.write(1, b"raw noise\n")
        os.system("echo noise of a grandchild")
        return self._result(standard_input=sys.stdin.read())

    def refused(self, request: HeadRequest, report: Report) -> Result:
        raise JobFailedError("input", "This head has 3 vertices, but the Dimple head has 8,000.", "V = 3")

    def talkative_refusal(self, request: HeadRequest, report: Report) -> Result:
        print("\n".join(f"line {number}" for number in range(100)), file=sys.stderr)
        sys.stderr.flush()
        os.write(2, "".join(f"last line {number} ü\n" for number in range(100)).encode())
        os._exit(7)

    def unforeseen(self, request: HeadRequest, report: Report) -> Result:
        return self._result(value=1 // (request.seed - request.seed))

    def not_a_number(self, request: HeadRequest, report: Report) -> Result:
        return self._result(residual_mm=float("nan"))

    def segfault(self, request: HeadRequest, report: Report) -> Result:
        import ctypes

        ctypes.string_at(0)
        return self._result()

    def exits(self, request: HeadRequest, report: Report) -> Result:
        os._exit(0)

    def shuts_up(self, request: HeadRequest, report: Report) -> Result:
        os.closerange(3, 64)
        time.sleep(60)
        return self._result()

    def too_much_memory(self, request: HeadRequest, report: Report) -> Result:
        return self._result(size=len(bytearray(1 << 60)))

    def chunks(self, request: HeadRequest, report: Report) -> Result:
        """A device with room for `seed` frames, asked for 40."""
        tried: list[int] = []

        def sample(frames_per_chunk: int) -> int:
            tried.append(frames_per_chunk)
            report("sample", len(tried), 6)
            if frames_per_chunk > request.seed:
                raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB\nmore lines")
            return frames_per_chunk

        fitted = in_smaller_chunks(sample, 40, free=lambda: 3 << 20)
        return self._result(tried=tried, fitted=fitted)

    def other_runtime_error(self, request: HeadRequest, report: Report) -> Result:
        def sample(frames_per_chunk: int) -> int:
            raise RuntimeError("the sizes of the tensors do not match")

        return self._result(fitted=in_smaller_chunks(sample, 40, free=lambda: 0))

    def writes(self, request: HeadRequest, report: Report) -> Result:
        path = Path(request.folder) / "gesicht ☺.txt"
        path.write_text(request.folder, encoding="utf-8")
        return Result(paths={"text": str(path)}, seed=request.seed)


def misbehave(mischief: str) -> None:
    match mischief:
        case "exit":
            sys.exit("there is no module named torch")
        case "silence":
            time.sleep(60)
        case "garbage":
            print("Welcome to this Python!", flush=True)
            time.sleep(60)
        case "endless line":
            while True:
                sys.stdout.write("x" * 65536)
        case "other version":
            print('{"type": "ready", "protocol_version": 99, "cores": 4}', flush=True)
            time.sleep(60)
        case "host's message":
            print('{"type": "quit"}', flush=True)
            time.sleep(60)
        case _:
            raise ValueError(mischief)


if __name__ == "__main__":
    if len(sys.argv) == 3 and not Path(sys.argv[1]).exists():
        Path(sys.argv[1]).touch()
        misbehave(sys.argv[2])
    else:
        serve(ScriptedJobs)
