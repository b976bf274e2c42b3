# What the steps of .ci/run do; each is run in the root of the repository.

TEST_COMMAND='python3 -m pip install uv && uv run pytest'
EXTRA_GROUPS='backends ray'
TORCH=2.13.0
LENSKIT=2025.8.1

install_uv() {
  python3 -m pip install --quiet uv
}

types() {
  uv run mypy && uv run mypy tests/typing
}

docs() {
  uv run --group docs mkdocs build --strict --quiet --site-dir "$OUT/site"
}

build_wheels() {
  uv build --quiet --all-packages --wheel --out-dir "$OUT/dist"
}

try_wheels() { # in a fresh environment, away from the sources; plugins without what they are plugins for
  uv venv --quiet --clear "$OUT/wheel" &&
    uv pip install --quiet --python "$OUT/wheel" "$OUT"/dist/corewise-[0-9]*.whl &&
    uv pip install --quiet --python "$OUT/wheel" --no-deps "$OUT"/dist/*.whl &&
    mkdir -p "$OUT/elsewhere" && cp tools/try_wheel.py "$OUT/elsewhere" && cd "$OUT/elsewhere" &&
    "$OUT/wheel/bin/python" -I try_wheel.py
}

published_types() { # of the wheel, as users get it; pyright does not look into editable installs
  uv run pyright --pythonpath "$OUT/wheel/bin/python" tests/typing &&
    cd "$OUT/elsewhere" &&
    PATH=$OUT/wheel/bin:$PATH "$UV_PROJECT_ENVIRONMENT/bin/pyright" --verifytypes corewise --ignoreexternal
}

install_extras() { # the libraries that plugins are for, where those plugins are in the tree
  local group
  for group in $EXTRA_GROUPS; do
    ! grep -q "^$group = \[" pyproject.toml || uv sync --quiet --inexact --group "$group" || return
  done
  [ ! -d plugins/torch ] || install_torch
}

install_torch() { # only a wheel that is at hand: the registry's would bring gigabytes of GPU libraries
  compgen -G "${PIP_FIND_LINKS:-/nowhere}/torch-$TORCH*" >/dev/null || { echo "no wheel of torch $TORCH"; return 0; }
  local install=(uv pip install --quiet --python "$UV_PROJECT_ENVIRONMENT")
  "${install[@]}" --find-links "$PIP_FIND_LINKS" "torch==$TORCH" && "${install[@]}" --no-deps "lenskit==$LENSKIT"
}

suite() { # suite VERSION: the command of the README, on the interpreter in use; the middle one runs the longest shorter
  grep -qF "$TEST_COMMAND" README.md || { echo "README.md does not name the command: $TEST_COMMAND"; return 1; }
  [ "$1" != 3.13 ] || export TESTS_NARROW=1
  bash -c "$TEST_COMMAND \"\$@\"" test -q --durations=5 --junitxml="$OUT/junit/python$1.xml"
}
