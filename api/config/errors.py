"""What is said of settings that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence

from api.edge.errors import UsageError


class ConfigError(UsageError):
    """Settings that cannot be used. The message names the setting by its path, flag or variable."""

    def __init__(self, message: str, reason: str = "bad_value") -> None:
        """reason: not_json, not_toml, not_yaml, config_file_missing, unknown_key, bad_value, deprecated_key,
        unknown_preset, unknown_flag, bad_flag_value, contradiction."""
        super().__init__(message)
        self.reason = reason
        self.problems: tuple[str, ...] = (message,)
        """A sentence for each setting that cannot be used."""


def together(errors: Sequence[ConfigError]) -> ConfigError:
    """All of them as one; the reason is that of the first."""
    if len(errors) == 1:
        return errors[0]
    found = ConfigError(" ".join(map(str, errors)), errors[0].reason)
    found.problems = tuple(map(str, errors))
    return found


class BadValue(Exception):
    """Why a value does not fit a setting; who reads adds where it stands."""
