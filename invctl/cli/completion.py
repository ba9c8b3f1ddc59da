"""`invctl completion`: the scripts by which shells complete, and what they ask."""

from typing import Annotated

from typer import Argument, Context

from invctl.console.command import output
from invctl.console.options import shared
from invctl.console.output import Column, Output

BASH = """\
_invctl() {
    local IFS=$'\\n'
    COMPREPLY=($(invctl completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
# Files where nothing else is known.
complete -o default -F _invctl invctl
"""
ZSH = """\
#compdef invctl
_invctl() {
    local -a found
    found=("${(@f)$(invctl completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ${#found} )); then compadd -- "${found[@]}"; else _files; fi
}
if [[ $funcstack[1] == _invctl ]]; then _invctl "$@"; else compdef _invctl invctl; fi
"""
FISH = """\
function __invctl_words
    set -l typed (commandline -opc) (commandline -ct)
    set -l found (invctl completion words -- $typed[2..-1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c invctl -f -a '(__invctl_words)'
"""


def bash(ctx: Context) -> None:
    """Print the script that lets bash complete commands, items and open reservations.

    For example, in ~/.bashrc: eval "$(invctl completion bash)".

        invctl completion bash
    """
    _script(ctx, BASH)


def zsh(ctx: Context) -> None:
    """Print the script that lets zsh complete commands, items and open reservations.

    For example, in ~/.zshrc, behind compinit: eval "$(invctl completion zsh)".

        invctl completion zsh
    """
    _script(ctx, ZSH)


def fish(ctx: Context) -> None:
    """Print the script that lets fish complete commands, items and open reservations.

    For example, to ~/.config/fish/completions/invctl.fish.

        invctl completion fish
    """
    _script(ctx, FISH)


def words(
    ctx: Context,
    typed: Annotated[
        list[str] | None, Argument(metavar="WORD", help="What was typed behind invctl; the last is to be completed.")
    ] = None,
) -> None:
    """Print how the last word may go on, a line each. What fails, such as a ledger that is not there, is silent.

    For example:

        invctl completion words -- stock MOU
    """
    from invctl.cli.completing import candidates  # noqa: PLC0415 - the scripts do without

    found = candidates(typed or [""], shared(ctx, "home"))
    asked = output(ctx)
    # Nobody reads a table of them.
    out = Output("csv", quiet=True) if asked.fmt == "table" else asked
    out.rows([Column("word")], [{"word": word} for word in found])


def _script(ctx: Context, script: str) -> None:
    output(ctx).result({"script": script}, message=script.rstrip("\n"))
