"""The counter of operations: counts that can be worked out by hand, and torch's own counter."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from stabench.harness.profiling.operation_counter import OperationCounter, Operations
from stabench.harness.profiling.stages import Stage, Stages
from stabench.harness.runs.journal import REMAINDER
from tests.harness.profiling.torch_toy import ROWS, STEPS, WIDTH, work

WEIGHTS = 4 * WIDTH * WIDTH
HIDDEN = 4 * ROWS * WIDTH
FLOPS = 2 * ROWS * WIDTH * WIDTH


def counted(function: Callable[[], object]) -> Operations:
    """What the counter says of one stage that calls `function`."""
    counter = OperationCounter()
    with torch.inference_mode(), counter, counter.stage(Stage("generate", "one")):
        function()
    return counter.stages[Stage("generate", "one")]


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_two_flops_a_weight_and_row(bias: bool) -> None:
    layer, rows = torch.nn.Linear(48, 32, bias=bias), torch.randn(5, 48)
    found = counted(lambda: layer(rows))
    assert found.flops == {"float32": 2 * 5 * 48 * 32}
    assert found.read_bytes == 4 * (48 * 32 + 32 * bias + 5 * 48)
    assert found.moved_bytes == found.read_bytes + 4 * 5 * 32
    assert found.count == 1


@pytest.mark.parametrize(
    ("build", "flops"),
    [
        (lambda: torch.randn(4, 6) @ torch.randn(6), 2 * 4 * 6),
        (lambda: torch.randn(6) @ torch.randn(6), 2 * 6),
        (lambda: torch.addmv(torch.zeros(4), torch.randn(4, 6), torch.randn(6)), 2 * 4 * 6),
        (lambda: torch.randn(3, 4, 6) @ torch.randn(3, 6, 5), 3 * 2 * 4 * 6 * 5),
        (lambda: torch.einsum("bij,bjk->bik", *torch.ones(2, 2, 4, 4)), 2 * 2 * 4**3),
        (
            lambda: functional.conv1d(torch.randn(2, 3, 20), torch.randn(8, 3, 5), padding=2),
            2 * 2 * 8 * 20 * 3 * 5,
        ),
        (
            lambda: functional.conv_transpose1d(torch.randn(1, 3, 9), torch.randn(3, 2, 4)),
            2 * 9 * 3 * 2 * 4,
        ),
        (lambda: torch.randn(5).exp() + 1, 0),
    ],
)
def test_flops_of_products_and_convolutions(build: Callable[[], object], flops: int) -> None:
    assert counted(build).flops.total() == flops


def test_attention_counts_both_products_on_a_cpu_too() -> None:
    query, key, value = (torch.randn(2, 4, length, 16) for length in (7, 9, 9))
    found = counted(lambda: functional.scaled_dot_product_attention(query, key, value))
    assert found.flops == {"float32": 2 * 2 * 4 * 7 * 9 * (16 + 16)}


def test_precisions_are_kept_apart() -> None:
    single, half = torch.randn(4, 4), torch.randn(4, 4, dtype=torch.bfloat16)
    found = counted(lambda: (single @ single, half @ half, half @ half))
    assert found.flops == {"float32": 128, "bfloat16": 256}


def test_the_counter_agrees_with_torch_on_a_network() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv1d(4, 8, 3, padding=1),
        torch.nn.GELU(),
        torch.nn.Conv1d(8, 8, 3, groups=2),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 30, 16),
        torch.nn.LayerNorm(16),
    ).eval()
    sound = torch.randn(2, 4, 32)
    with FlopCounterMode(display=False) as torchs:
        network(sound)
    assert counted(lambda: network(sound)).flops.total() == torchs.get_total_flops()


def test_views_and_allocations_are_no_operations() -> None:
    table = torch.randn(6, 4)

    def look() -> None:
        table.t().reshape(4, 6)[1:, None].expand(3, 2, 6).unbind(0)
        torch.empty(5)
        torch.empty_like(table)
        table.sum().item()

    assert counted(look).count == 1


def test_what_a_stage_made_itself_is_not_read_from_memory() -> None:
    table = torch.randn(8, 8)
    found = counted(lambda: ((table * 2) * 3).sum())
    assert found.read_bytes == 4 * 64
    assert found.moved_bytes == 4 * (64 + 64 + 64 + 64 + 64 + 1)


def test_weights_are_read_each_time_and_tables_only_in_part() -> None:
    weight, table = torch.randn(8, 8), torch.randn(1_000, 8)
    assert counted(lambda: (weight @ weight, weight.t() + 1)).read_bytes == 4 * 64 * 2
    taken = counted(lambda: functional.embedding(torch.tensor([1, 5]), table))
    assert taken.read_bytes == 4 * 2 * 8 + 2 * 8
    cache = torch.zeros(16, 8)
    assert counted(lambda: cache.copy_(torch.ones(1, 8))).read_bytes == 0


def test_operations_without_a_formula_are_named() -> None:
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    found = counted(lambda: layer(torch.randn(1, 3, 16)))
    assert found.opaque == {"aten._transformer_encoder_layer_fwd"}


def test_a_compiled_function_counts_as_it_is_written() -> None:
    def written(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return (rows @ weight).relu() + 1

    rows, weight = torch.randn(3, 8), torch.randn(8, 8)
    compiled = torch.compile(written, backend="aot_eager")
    with torch.inference_mode():
        compiled(rows, weight)
    found = counted(lambda: compiled(rows, weight))
    assert found == counted(lambda: written(rows, weight))
    assert (found.count, found.flops) == (3, {"float32": 2 * 3 * 64})


def test_stages_are_counted_apart_and_the_rest_is_the_remainder() -> None:
    counter = OperationCounter()
    with counter:
        work()[1].eagerly(Stages(counter.stage))
    assert [(*stage,) for stage in counter.stages] == [
        ("represent", REMAINDER),
        ("represent", "encode"),
        ("represent", "pick"),
        ("generate", REMAINDER),
        ("generate", "sampler"),
    ]
    encode, pick, sampler = (
        counter.stages[Stage(*key)]
        for key in (("represent", "encode"), ("represent", "pick"), ("generate", "sampler"))
    )
    assert (encode.count, encode.flops.total()) == (1, FLOPS)
    assert encode.read_bytes == WEIGHTS + HIDDEN + 4 * WIDTH
    assert (pick.count, pick.flops.total(), pick.read_bytes) == (1, 0, HIDDEN)
    assert (sampler.count, sampler.flops.total()) == (2 * STEPS, STEPS * FLOPS)
    assert sampler.read_bytes == STEPS * WEIGHTS + HIDDEN
    assert counter.stages[Stage("generate", REMAINDER)].count == 0
