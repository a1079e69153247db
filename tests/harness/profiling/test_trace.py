"""The trace: what torch's profiler says, told apart by stage; GPU events are written by hand."""

from stabench.harness.device import Cpu
from stabench.harness.profiling.stages import Stage
from stabench.harness.profiling.trace import Event, Timeline, Traffic, count_traffic, trace
from stabench.harness.runs.journal import REMAINDER
from tests.harness.profiling.torch_toy import work


def test_the_trace_of_a_cpu_finds_the_value_that_was_read() -> None:
    found = trace(work()[1], Cpu())
    waits = {stage.name: counts.waits for stage, counts in found.items()}
    assert waits == {REMAINDER: 0, "encode": 0, "pick": 1, "sampler": 0}
    assert found[Stage("represent", "pick")] == Traffic(None, None, None, 1)


def test_events_of_a_gpu_belong_to_the_stage_they_started_in() -> None:
    marks = [
        Event("stabench/generate/(remainder)", 0, 100),
        Event("stabench/generate/sampler", 10, 60),
        Event("stabench/wait", 40, 60),
        Event("stabench/generate/decoder", 60, 90),
        Event("stabench/wait", 80, 90),
        Event("stabench/wait", 95, 100),
        Event("stabench/generate/sampler", 12, 55, on_device=True),
    ]
    work = [
        Event("cudaLaunchKernel", 11, 12),
        Event("gemm", 15, 30, on_device=True),
        Event("cuLaunchKernelEx", 20, 21),
        Event("triton", 45, 55, on_device=True),
        Event("cudaMemcpyAsync", 22, 23),
        Event("Memcpy DtoH (Device -> Pageable)", 24, 25, on_device=True),
        Event("cudaStreamSynchronize", 26, 30),
        Event("cudaDeviceSynchronize", 41, 59),
        Event("cudaGraphLaunch", 61, 62),
        Event("conv", 63, 70, on_device=True),
        Event("conv", 82, 88, on_device=True),
        Event("cudaMemcpy", 75, 79),
        Event("cudaDeviceSynchronize", 81, 89),
        Event("cudaLaunchKernelExC", 92, 93),
        Event("late", 96, 97, on_device=True),
        Event("cudaLaunchKernel", 200, 201),
    ]
    assert count_traffic([*work, *marks], on_cuda=True) == {
        Stage("generate", REMAINDER): Traffic(1, 0, 1, 0),
        Stage("generate", "sampler"): Traffic(2, 0, 2, 1),
        Stage("generate", "decoder"): Traffic(1, 1, 2, 1),
    }


def test_a_timeline_goes_back_to_the_stage_around() -> None:
    marks = [
        Event("stabench/a/x", 0, 10),
        Event("stabench/a/y", 2, 4),
        Event("stabench/b/x", 12, 14),
    ]
    line = Timeline(marks)
    found = [line.find(time) for time in (-1, 0, 2, 3, 4, 9, 10, 12, 14)]
    x, y, other = Stage("a", "x"), Stage("a", "y"), Stage("b", "x")
    assert found == [None, x, y, y, x, x, None, other, None]
