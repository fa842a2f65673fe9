"""Declaration and resolution of settings with all faults reported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from webhook.config.values import BadValue

ENVIRONMENT_PREFIX: Final = "GHCR_PULL_SECRETS_"

# What flags and environment say, before it is parsed: one text, several, or nothing.
Raw = Mapping[str, str | Sequence[str] | None]


class Fault(NamedTuple):
    """What is wrong with one setting. The problem names the kind of value found, never the value."""

    flag: str
    problem: str


class ConfigError(Exception):
    """Settings that cannot be used.

    Attributes:
        faults: All of them.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{flag}: {problem}" for flag, problem in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting.

    Attributes:
        name: `tls_dir` for `--tls-dir` and `GHCR_PULL_SECRETS_TLS_DIR`.
        parse: From the text (or, if `repeatable`, the tuple of texts) to the value; raises `BadValue`.
        default: As it would be typed; `None` if there is none.
        required: Absence is a fault.
        repeatable: The flag may be given several times; the environment variable holds a comma-separated list.
        switch: A flag without a value, with a `--no-…` beside it.
        heading: Under which `--help` has it.
        short: A second spelling of the flag, such as `-n`.
    """

    name: str
    help: str
    parse: Callable[[Any], Any]
    metavar: str = "TEXT"
    default: str | tuple[str, ...] | None = None
    required: bool = False
    repeatable: bool = False
    switch: bool = False
    heading: str = "Options"
    short: str = ""

    @property
    def flag(self) -> str:
        """Spell it for the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Spell it for the environment."""
        return ENVIRONMENT_PREFIX + self.name.upper()


def under(heading: str, *settings: Setting) -> tuple[Setting, ...]:
    """Put settings under a heading of `--help`."""
    return tuple(replace(setting, heading=heading) for setting in settings)


def resolve(settings: Sequence[Setting], flags: Raw, environ: Mapping[str, str]) -> dict[str, Any]:
    """Parse settings.

    Args:
        settings: What is asked for.
        flags: By name, what the command line says; `None` or nothing where it is silent.
        environ: The environment. A variable that is set but empty counts as not set, as a manifest's empty value does.

    Returns:
        The parsed values by name; `None` for a setting that is absent and has no default.

    Raises:
        ConfigError: With every fault.
    """
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for setting in settings:
        raw = _raw(setting, flags, environ)
        if raw is None:
            values[setting.name] = None
            if setting.required:
                faults.append(Fault(setting.flag, f"is required (flag, or environment variable {setting.variable})"))
            continue
        try:
            values[setting.name] = setting.parse(raw)
        except BadValue as error:
            faults.append(Fault(setting.flag, str(error)))
    if faults:
        raise ConfigError(faults)
    return values


def _raw(setting: Setting, flags: Raw, environ: Mapping[str, str]) -> str | tuple[str, ...] | None:
    given = flags.get(setting.name)
    if given:
        return given if isinstance(given, str) else tuple(given)
    variable = environ.get(setting.variable, "").strip()
    if variable and setting.repeatable:
        return tuple(part.strip() for part in variable.split(",") if part.strip())
    return variable or setting.default
