"""The programs that a wheel brings: scripts of its own, and those that its entry points ask for."""

import configparser
import re

from mlenv.layers.wheels.wheel_error import BadWheelError

_SECTIONS = ("console_scripts", "gui_scripts")
_NAME = re.compile(r"\w[\w.+-]*")
_OBJECT = re.compile(r"([\w.]+)\s*:\s*([\w.]+)\s*(?:\[[^\]]*\])?")
_RESERVED = re.compile(r"pythonw?|python3(\.\d+)?")

_LAUNCHER = """\
#!{interpreter}
# Starts {module}:{function}. Written by mlenv, as the wheel's entry_points.txt asks.
import sys

from {module} import {imported}

if __name__ == "__main__":
    sys.exit({function}())
"""


def launchers(entry_points: bytes, interpreter: str) -> dict[str, bytes]:
    """The programs of `entry_points.txt` (entry points specification): name to content.

    `interpreter` is the absolute path of the environment's Python. Raises BadWheelError.
    """
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(entry_points.decode("utf-8-sig"))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise BadWheelError(f"entry_points.txt cannot be read: {str(error).splitlines()[0]}") from None
    programs: dict[str, bytes] = {}
    for section in _SECTIONS:
        if not parser.has_section(section):
            continue
        for name, target in parser.items(section):
            match = _OBJECT.fullmatch(target.strip())
            if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name) or match is None:
                raise BadWheelError(f"entry_points.txt asks for a program that cannot be made: {name} = {target}")
            module, function = match.groups()
            if not all(part.isidentifier() for part in f"{module}.{function}".split(".")):
                raise BadWheelError(f"entry_points.txt asks for a program that cannot be made: {name} = {target}")
            text = _LAUNCHER.format(
                interpreter=interpreter, module=module, function=function, imported=function.split(".")[0]
            )
            if programs.setdefault(name, text.encode()) != text.encode():
                raise BadWheelError(f"entry_points.txt asks for two programs with the name {name}")
    return programs


def is_python_script(start: bytes) -> bool:
    """Whether a script begins with the line that an installer has to change; nine bytes are enough to see it."""
    return start.startswith(b"#!python")


def rewritten(script: bytes, interpreter: str) -> bytes:
    """A script whose first line became that of the environment's interpreter, without the options it may have had."""
    _, _, rest = script.partition(b"\n")
    return b"#!" + interpreter.encode() + b"\n" + rest
