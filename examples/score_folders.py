"""Score folders of WAVs from Python: what a paper's table needs, with intervals.

    python examples/score_folders.py RECORDINGS CAPTIONS.csv NAME=OUTPUTS... --protocol paper

Files are paired by their names; the CSV has the columns id and caption. The protocol `paper` needs
published weights (`stabench weights fetch vggish cnn14-16k clap-630k`), `pocket` needs nothing and
knows nothing but the pocket suite's sounds.
"""

import argparse

import stabench as sb


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings")
    parser.add_argument("captions")
    parser.add_argument("outputs", nargs="+", metavar="NAME=OUTPUTS")
    parser.add_argument("--protocol", required=True)
    words = parser.parse_args()
    outputs = dict(text.split("=", 1) for text in words.outputs)
    run = sb.score(words.recordings, outputs, words.captions, words.protocol)
    print(run.table())
    cells = run.cells[run.cells["block"] == "quality"]
    cells.to_csv(run.folder / "cells.csv", index=False)
    print(f"every number with its interval: {run.folder / 'cells.csv'}")


if __name__ == "__main__":
    main()
