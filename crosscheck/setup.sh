#!/bin/sh
# Make the environment of the crosscheck: setup.sh FOLDER PYTHON, from the root of the repository.
set -eu
folder=$1
python=$folder/bin/python
test -x "$python" || "$2" -m venv "$folder"
pip() { "$python" -m pip "$@" --quiet --disable-pip-version-check; }
pip install -c constraints.txt -e ".[dev]" -r crosscheck/requirements.txt
pip install --no-deps -r crosscheck/peers.txt
# torchaudio's libraries want CUDA's; its Python parts, all that is used, do without them.
"$python" -c "import torchaudio" 2>/dev/null ||
    rm -f "$("$python" -c "import sysconfig; print(sysconfig.get_path('platlib'))")"/torchaudio/lib/*.so
# frechet-audio-distance takes its VGGish from torch.hub, whose code is in no package. Without a
# network to its origin the rows that need it say so.
vggish=$folder/torchvggish
test -d "$vggish" || { GIT_TERMINAL_PROMPT=0 git clone --quiet https://github.com/harritaylor/torchvggish "$vggish" &&
    git -C "$vggish" checkout --quiet f3f90969ce8fb77a05d984b892ddf662e8466377; } ||
    echo "crosscheck: torchvggish could not be cloned; set TORCHVGGISH to a checkout of it" >&2
