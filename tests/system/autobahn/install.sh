#!/bin/sh
# install.sh FOLDER: install the Autobahn test suite, which is a program for Python 2.7, into FOLDER.
#
# PYTHON2 names the interpreter, python2.7 without it. The releases of its libraries that still run there are pinned in
# requirements.txt; the suite itself comes as source, since its metadata asks for a newer Python than its code.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
python2=${PYTHON2:-python2.7}
suite=autobahntestsuite-25.10.1

if ! "$python2" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
  echo "the Autobahn test suite needs Python 2.7; set PYTHON2=/path/to/python2.7 (pyenv install 2.7.18 makes one)"
  exit 1
fi
mkdir -p "$folder"
"$python2" -m pip -q install --target "$folder/virtualenv" virtualenv
PYTHONPATH="$folder/virtualenv" "$python2" -m virtualenv -q "$folder/venv"
"$folder/venv/bin/pip" -q install -r "$here/requirements.txt"
python3 -m pip -q download --no-deps --no-binary :all: -d "$folder" "$(echo $suite | sed 's/-/==/')"
"$folder/venv/bin/pip" -q install --no-deps "$folder/$suite.tar.gz"
"$folder/venv/bin/wstest" --help >/dev/null
echo "installed $suite in $folder"
