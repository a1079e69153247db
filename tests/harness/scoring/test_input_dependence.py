"""Whether outputs depend on inputs: exact on few clips, honest under the null, awake otherwise."""

import json
from functools import partial
from itertools import permutations

import numpy as np
import pytest

from stabench.harness.runs import metrics_file
from stabench.harness.runs.metrics_file import DependenceRecord
from stabench.harness.scoring.evaluation_set import Exam, Item
from stabench.harness.scoring.evaluator import Answers
from stabench.harness.scoring.features import hear, network
from stabench.harness.scoring.input_dependence import (
    LEAST,
    Fits,
    dependence,
    dependences,
    fit_tables,
    permutation_p,
)
from stabench.harness.scoring.score import score_run, silent
from stabench.harness.suites import protocols
from stabench.metrics.audio import decode
from tests.harness.fake_run import EMBEDDERS, LISTENERS, FakeRun


def cosines(outputs: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Output i with input j [N, N]."""
    outputs, inputs = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (outputs, inputs))
    return outputs @ inputs.T


def enumerated(better: np.ndarray) -> float:
    """The share of all pairings that fit at least as well as the one that is, written out."""
    sums = [sum(better[i, j] for i, j in enumerate(o)) for o in permutations(range(len(better)))]
    return sum(one >= sums[0] - 1e-9 for one in sums) / len(sums)


@pytest.mark.parametrize("seed", range(8))
def test_few_clips_are_tested_exactly(seed):
    table = np.random.default_rng(seed).normal(size=(5, 5)) + 0.5 * np.eye(5)
    assert permutation_p(table) == enumerated(table)


@pytest.mark.parametrize("seed", range(4))
def test_random_permutations_come_near_the_exact_p(seed):
    table = np.random.default_rng(seed).normal(size=(7, 7)) + 0.4 * np.eye(7)
    exact = enumerated(table)
    # Four standard errors of a share of 5,000 draws.
    slack = 4 * np.sqrt(exact * (1 - exact) / 5000) + 2 / 5000
    assert permutation_p(table, draws=5000 - 1, seed=seed) == pytest.approx(exact, abs=slack)


def test_outputs_that_ignore_the_input_have_a_uniform_p():
    p = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        p.append(permutation_p(cosines(*rng.normal(size=(2, 30, 8))), draws=399, seed=seed))
    # 0.2 % and 99.8 % quantiles of a binomial of 200 tries: 3 to 18 at 0.05, 76 to 124 at 0.5.
    assert 3 <= np.count_nonzero(np.array(p) <= 0.05) <= 18
    assert 76 <= np.count_nonzero(np.array(p) <= 0.5) <= 124


def test_outputs_that_follow_the_input_are_seen():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(60, 16))
    faint = inputs + 3 * rng.normal(size=inputs.shape)
    assert permutation_p(cosines(inputs, inputs)) == 1 / 1001
    assert permutation_p(cosines(faint, inputs)) <= 0.01


def test_one_output_for_all_is_no_evidence_even_by_rounding():
    inputs = np.random.default_rng(1).normal(size=(50, 16))
    assert permutation_p(cosines(np.repeat(inputs[:1], 50, axis=0), inputs)) == 1


def test_clips_of_one_recording_move_together():
    """Four recordings of twelve clips are 24 pairings; an output has the mean of its new clips."""
    groups = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0, 0, 0, 1])
    for seed in range(8):
        table = np.random.default_rng(seed).normal(size=(12, 12))
        blocks = [[table[np.ix_(groups == a, groups == b)] for b in range(4)] for a in range(4)]
        pooled = np.array([[block.mean(axis=1).sum() for block in row] for row in blocks])
        assert permutation_p(table, groups) == enumerated(pooled)
    matched = table + 9 * (groups[:, None] == groups)
    assert permutation_p(matched, groups) == 1 / 24
    assert permutation_p(matched) <= 0.01


def test_others_are_clips_of_other_recordings_and_other_events():
    values = np.arange(144.0).reshape(12, 12)
    groups, contents = np.repeat(np.arange(11), [2] + [1] * 10), np.arange(12) % 6
    found = dependence(Fits(values, True, groups, contents))
    other = (groups[:, None] != groups) & (contents[:, None] != contents)
    assert found.own == np.trace(values) / 12
    assert found.others == pytest.approx(values[other].mean())
    assert found.n == 12


def test_a_test_of_clips_that_share_recordings_permutes_the_recordings():
    groups = np.repeat(np.arange(12), 3)
    table = np.random.default_rng(4).normal(size=(36, 36)) + 0.3 * np.eye(36)
    found = dependence(Fits(table, True, groups, groups), seed=7)
    assert found.p_value == permutation_p(table, groups, seed=7) != permutation_p(table, seed=7)


def test_a_distance_is_better_where_it_is_lower():
    values = 1 - np.eye(20) + 0.1 * np.random.default_rng(3).normal(size=(20, 20))
    groups = np.arange(20)
    assert dependence(Fits(values, False, groups, groups)).p_value == 1 / 1001
    assert dependence(Fits(values, True, groups, groups)).p_value > 0.99


def test_what_cannot_be_tested_says_why():
    few = np.arange(LEAST - 1)
    assert dependence(Fits(np.eye(LEAST - 1), True, few, few)) == DependenceRecord(
        n=9, reason="needs at least 10 recordings, has 9"
    )
    many = np.arange(12)
    same = dependence(Fits(np.eye(12), True, many, np.zeros(12)))
    assert (same.p_value, same.reason) == (None, "all clips ask for the same events")


def test_tables_hold_the_metrics_own_values_on_their_diagonal(tmp_path):
    """With KL's epsilon, a clip of two recordings, and one without a caption."""
    folder = FakeRun(tmp_path, n=12).make()
    sounds = {clip.id: partial(decode, clip.reference) for clip in folder.clips}
    protocol = protocols.load("paper", EMBEDDERS)
    networks = {
        role: network(role, rule) for role, rule in protocol.networks.items() if role in EMBEDDERS
    }
    references = hear("references", sounds, networks, silent)
    items = {c.id: Item((c.caption, "A low hum."), (c.id,), c.labels) for c in folder.clips}
    items["clip001"] = Item((), ("clip001", "clip002"), items["clip001"].labels)
    exam = Exam(items, protocol, networks, references, bootstrap=100)
    outputs = {c.id: partial(decode, folder.audio_path("star", c.id)) for c in folder.clips}
    heard = hear("star", outputs, networks, silent)
    tables = fit_tables(exam, items, heard)
    answers = Answers(exam, items, heard)
    for column, fits in tables.items():
        own = answers.per_clip(column)
        assert np.diagonal(fits.values) == pytest.approx([own[c] for c in sorted(own)], rel=1e-5)
    assert [len(tables[column].values) for column in ("kl", "clap")] == [12, 11]
    assert tables["kl"].groups[0] == tables["kl"].groups[1]


def test_a_deaf_system_is_told_from_one_that_listens(tmp_path):
    made = FakeRun(tmp_path, deaf=("star",)).make()
    score_run(made.path)
    systems = metrics_file.read(made.path).systems
    cells = systems["cascade"].cells
    assert systems["cascade"].input_dependence["kl"].own == pytest.approx(cells["kl"].value)
    assert systems["cascade"].input_dependence["clap"].own == pytest.approx(cells["clap"].value)
    assert systems["oracle"].dependence_p == pytest.approx(2 / 1001)
    assert systems["star"].dependence_p > 0.05


def of_star(path):
    return json.loads(score_run(path).read_text())["systems"]["star"]["input_dependence"]


def test_networks_with_random_weights_and_systems_without_sounds_are_not_tested(tmp_path):
    options = {"use": "recorded", "options": {"weights": "random"}}
    assert of_star(FakeRun(tmp_path / "a", n=12, use=options).make().path) == {}
    untrained = {"tagger": f"{LISTENERS}:Untrained"}
    found = of_star(FakeRun(tmp_path / "b", n=12, metrics=untrained).make().path)
    assert (found["kl"]["p_value"], found["kl"]["n"]) == (None, 12)
    assert found["kl"]["reason"] == "random weights"
    assert found["clap"]["p_value"] <= 1


def test_a_metric_without_network_pairs_or_captions_has_no_table(tmp_path):
    made = FakeRun(tmp_path, n=12, captions=False, metrics={"columns": ["fad", "kl"]}).make()
    assert list(of_star(made.path)) == ["kl"]
    exam = Exam({"a": Item()}, protocols.load("pocket"), {}, hear("", {}, {}, silent))
    assert dependences(exam, exam.items, exam.references) == {}
