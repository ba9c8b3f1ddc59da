# Sourced by the commands beside it, with these set:
#   root    the project's folder
#   extras  what they need of pyproject.toml's optional dependencies, separated by spaces
# Completes .venv, or ends with one line that says why not. With the set-up done, nothing is started but cksum.
#
# A stamp, .venv/.complete-EXTRA, holds the checksum of pyproject.toml and the project's folder: a changed
# pyproject.toml is installed anew, and a moved .venv, whose scripts name the old folder, is built anew.

say() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

is_complete() {
    [ -x "$root/.venv/bin/python" ] || return 1
    for extra in base $extras; do
        [ -r "$root/.venv/.complete-$extra" ] || return 1
        read -r stamp <"$root/.venv/.complete-$extra" || return 1
        [ "$stamp" = "$key" ] || return 1
    done
}

# Sets `python` to the first of these that will do.
find_python() {
    too_old= without_venv=
    for python; do
        command -v "$python" >/dev/null || continue
        version=$("$python" -c '
import sys
print("%d.%d" % sys.version_info[:2])
if sys.version_info < (3, 11):
    sys.exit(3)
try:
    import ensurepip, venv
except ImportError:
    sys.exit(4)
' 2>/dev/null </dev/null)
        case $? in
        0) return 0 ;;
        3) too_old="${too_old:+$too_old, }$python is $version" ;;
        4) without_venv=${without_venv:-$version} ;;
        esac
    done
    if [ -n "$without_venv" ]; then
        say "Python $without_venv is here without venv: install it (Debian, Ubuntu: apt install python$without_venv-venv)"
    else
        say "Python 3.11 or later is needed${too_old:+ ($too_old)}: install it, or name one in PYTHON"
    fi
    return 1
}

key="$(cksum <"$root/pyproject.toml") $root"
if ! is_complete; then
    if [ -n "${PYTHON:-}" ]; then
        find_python "$PYTHON" || exit 1
    else
        find_python python3.13 python3.12 python3.11 python3 || exit 1
    fi
    # shellcheck disable=SC2086 # extras are words
    "$python" -I "$root/scripts/_setup.py" "$root" "$key" $extras || exit
fi

# The caller's folder stays the working folder, and is not a place to import from (-P).
export PYTHONPATH="$root"
