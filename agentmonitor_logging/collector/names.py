"""Names in an address, which the usual parts of a path may not hold.

A trace or session may be called anything, slashes and line ends included.
"""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor


class _Name(Convertor[str]):
    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _Name())

NAME = "{id:name}"
"""The part of a path that is one."""
