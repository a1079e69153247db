"""The reader of language models: what pocket writes reads back the same, damage is an error."""

import itertools
import math

import pytest

from stabench.pocket import language_model as lm
from stabench.systems.asr.arpa import END, START, BackOffModel, read_arpa

CAPTIONS = [
    "a dog barks",
    "a dog barks while rain falls",
    "rain falls and a bell rings",
    "a bell rings and then a bell rings",
]
SMALL = """\\data\\
ngram 1=4
ngram 2=2
ngram 3=1

\\1-grams:
-1.0\t</s>
-99\t<s>\t-0.5
-0.5\train\t-0.25
-0.75\tfalls

\\2-grams:
-0.125\t<s> rain\t-0.0625
-0.375\train falls

\\3-grams:
-0.1\t<s> rain falls

\\end\\
"""


def write(folder, text: str):
    path = folder / "model.arpa"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("history", "word", "log10"),
    [
        ((START, "rain"), "falls", -0.1),  # an entry
        ((START, "rain"), END, -0.0625 - 0.25 - 1.0),  # two back-offs
        ((START,), "falls", -0.5 - 0.75),
        (("rain", "falls"), END, -1.0),  # a history without an entry has weight one
        (("falls", "rain"), "falls", -0.375),
        ((), "rain", -0.5),
        (("rain", "falls", START, "rain"), "falls", -0.1),  # only the last two words count
    ],
)
def test_backs_off_by_hand(tmp_path, history, word: str, log10: float) -> None:
    model = read_arpa(write(tmp_path, SMALL))
    assert model.order == 3
    assert model.log_probability(history, word) == pytest.approx(log10 * math.log(10), abs=1e-12)


@pytest.mark.parametrize("loss", [0.0, 0.7])
def test_what_pocket_writes_has_the_same_probabilities(tmp_path, loss: float) -> None:
    counts = lm.count(CAPTIONS)
    written = lm.prune(lm.estimate(counts), counts, loss)
    model = read_arpa(write(tmp_path, lm.to_arpa(written)))
    words = [word for word in written.vocabulary if word != END]
    histories = [(), (START,), *itertools.product(words, repeat=1)]
    histories += [(START, word) for word in words] + list(itertools.product(words, repeat=2))
    assert len(model.probabilities) == len(written.probabilities) + 1  # and START
    for history in histories:
        total = 0.0
        for word in written.vocabulary:
            expected = written.probability(history, word)
            # Four digits of log10 in at most three summands.
            assert math.exp(model.log_probability(history, word)) == pytest.approx(
                expected, rel=3.5e-4, abs=1e-12
            )
            total += expected
        assert total == pytest.approx(1.0)


def test_reads_what_other_tools_write(tmp_path) -> None:
    spaced = SMALL.replace("\t", "  ").replace("\n\n", "\n \n").replace("ngram 1=4", "ngram 1 = 4")
    spaced = spaced.replace("\n", "\r\n")
    assert read_arpa(write(tmp_path, "\n" + spaced)) == read_arpa(write(tmp_path, SMALL))
    unigrams = "\\data\\\nngram 1=2\n\\1-grams:\n-0.5 <s>\n-0.5 </s>\n\\end\\\n"
    model = read_arpa(write(tmp_path, unigrams))
    assert model.log_probability((START, "x"), END) == pytest.approx(-0.5 * math.log(10))


def test_the_logarithm_of_zero_stays_finite(tmp_path) -> None:
    model = read_arpa(write(tmp_path, SMALL))
    assert 0.0 * model.log_probability((), START) == 0.0


def test_a_word_that_is_not_in_it_is_an_error() -> None:
    model = BackOffModel(2, {(START,): -9.0, (END,): -1.0}, {})
    assert model.vocabulary == {START, END}
    with pytest.raises(KeyError, match="snow"):
        model.log_probability((START,), "snow")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "{}", r":1: begins with '\{\}', expected is '.+data.+'"),
        ("ngram 1=4\n", "", r":2: has 'ngram 2=2', expected is 'ngram 1=\.\.\.'"),
        ("ngram 1=4\nngram 2=2\nngram 3=1\n", "", r":3: has '.+1-grams:', expected is 'ngram 1="),
        ("ngram 2=2", "ngram 2=3", r":16: 2 2-grams end here, the header says 3"),
        ("\\2-grams:", "\\5-grams:", r":12: has '.+5-grams:', expected is '.+2-grams:'"),
        ("\\end\\", "\\4-grams:", r":19: has '.+4-grams:', expected is '.+end.+'"),
        ("\\end\\\n", "", "ends without '.+end.+'; the file is cut off"),
        ("-0.75\tfalls", "-0.75\train", r":10: 'rain' is there twice"),
        ("-0.375\train falls", "-0.375\train snow", r":14: 'snow' is not among the 1-grams"),
        ("-0.375\train falls", "-0.375\train", r":14: '-0.375.+rain' is no entry of 2 words"),
        ("-0.1\t<s> rain falls", "-0.1\t<s> rain falls\t-1", r":17: .+ is no entry of 3 words"),
        ("-0.75\tfalls", "0.75\tfalls", r":10: '0.75' is no logarithm"),
        ("-0.75\tfalls", "nan\tfalls", r":10: 'nan' is no logarithm"),
        ("-0.75\tfalls", "p\tfalls", r":10: 'p' is no logarithm"),
        ("<s>\t-0.5", "<s>\tinf", r":8: 'inf' is no logarithm"),
        ("-1.0\t</s>", "-1.0\tend", "has no '</s>'"),
    ],
)
def test_damage_is_an_error_in_one_line(tmp_path, old: str, new: str, message: str) -> None:
    assert old in SMALL
    path = write(tmp_path, SMALL.replace(old, new))
    with pytest.raises(ValueError, match=message) as caught:
        read_arpa(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.arpa: no such language model"):
        read_arpa(tmp_path / "gone.arpa")
    binary = tmp_path / "binary.arpa"
    binary.write_bytes(b"\\data\\\n\xff\xfe")
    with pytest.raises(ValueError, match=r"binary\.arpa: is no text"):
        read_arpa(binary)
