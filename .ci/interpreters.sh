# Where the interpreters are: uv does not look into pyenv's versions, and trips over its shims.

interpreter() { # interpreter VERSION: print the path of a Python, among them the free-threaded 3.14t
  if [ "$1" = 3.14t ] && [ -x ../shared/tools/python3.14t ]; then
    ../shared/tools/python3.14t
  elif "python$1" -c '' 2>/dev/null; then
    "python$1" -c 'import sys; print(sys.executable)'
  elif command -v pyenv >/dev/null && [ -n "$(_of_pyenv "$1")" ]; then
    _of_pyenv "$1"
  else
    uv python find --no-project "$1" 2>/dev/null
  fi
}

_of_pyenv() { # the newest patch version that pyenv has
  local found
  found=$(compgen -G "$(pyenv root)/versions/$1.*/bin/python" | sort -V | tail -n 1)
  [ -z "$found" ] || echo "$found"
}
