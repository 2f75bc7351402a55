"""`mlsem completion`: a script by which a shell completes commands, options and their values. Made from the parser itself."""

from __future__ import annotations

import argparse

from mlsem_jax.cli._shared import Command

_SHELLS = ("bash", "zsh", "fish")


def _arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("shell", choices=_SHELLS, help="which shell the script is for")


def _completion(arguments: argparse.Namespace) -> bool:
    print(script(arguments.top, arguments.shell))
    return True


def script(top: argparse.ArgumentParser, shell: str) -> str:
    """The script; `eval "$(mlsem completion bash)"` makes it work in a session."""
    commands = _commands(top)
    return _fish(commands) if shell == "fish" else _bash(commands, shell)


def _commands(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    return dict(found.choices)


def _choices(sub: argparse.ArgumentParser) -> dict[str, list[str]]:
    """Values by option ('' for the ones that stand by themselves), names of options of the library for --set."""
    found: dict[str, list[str]] = {}
    for action in sub._actions:
        words = [str(choice) for choice in action.choices] if action.choices else []
        if "--set" in action.option_strings:
            words = [f"{name}=" for name in _library_options()]
        for name in action.option_strings or [""]:
            found.setdefault(name, []).extend(words)
    return found


def _library_options() -> list[str]:
    from mlsem_jax.options import OPTIONS

    return sorted(OPTIONS)


def _long(sub: argparse.ArgumentParser) -> list[str]:
    return [name for action in sub._actions for name in action.option_strings if name.startswith("--")]


def _bash(commands: dict[str, argparse.ArgumentParser], shell: str) -> str:
    lines = [
        *(["autoload -U +X bashcompinit && bashcompinit"] if shell == "zsh" else []),
        "_mlsem() {",
        '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" command="${COMP_WORDS[1]}"',
        "  COMPREPLY=()",
        '  if [ "$COMP_CWORD" -eq 1 ]; then',
        f'    COMPREPLY=($(compgen -W "{" ".join(commands)} --help --version" -- "$word")); return',
        "  fi",
        '  case "$command:$before" in',
    ]
    for name, sub in commands.items():
        for option, words in _choices(sub).items():
            if words and option:
                lines.append(f'    {name}:{option}) COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$word")); return;;')
    lines += ["  esac", '  case "$command" in']
    for name, sub in commands.items():
        every = " ".join([*_long(sub), *_choices(sub).get("", [])])
        lines.append(f'    {name}) COMPREPLY=($(compgen -W "{every}" -- "$word"));;')
    lines += ["  esac", "}", "complete -o default -o bashdefault -o nosort -F _mlsem mlsem"]
    if shell == "zsh":
        lines[-1] = "complete -o default -F _mlsem mlsem"
    return "\n".join(lines)


def _fish(commands: dict[str, argparse.ArgumentParser]) -> str:
    lines = [f"complete -c mlsem -f -n __fish_use_subcommand -a '{' '.join(commands)}'"]
    for name, sub in commands.items():
        here = f"complete -c mlsem -n '__fish_seen_subcommand_from {name}'"
        choices = _choices(sub)
        if choices.get(""):
            lines.append(f"{here} -f -a '{' '.join(choices[''])}'")
        for action in sub._actions:
            for option in action.option_strings:
                if option.startswith("--"):
                    words = f" -xa '{' '.join(choices[option])}'" if choices.get(option) else ""
                    told = (action.help or "").replace("'", "’").replace("%%", "%")
                    lines.append(f"{here} -l {option[2:]}{words} -d '{told}'")
    return "\n".join(lines)


COMPLETION = (Command("completion", "Print a script that completes commands and options.", _arguments, _completion),)
