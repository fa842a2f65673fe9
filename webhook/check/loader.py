"""YAML composed to nodes by PyYAML's C parser, at the least cost for each node."""

import operator
import re
from typing import Final

import yaml
from yaml import ScalarNode
from yaml._yaml import CParser

# Looked up once and not for each of millions of nodes.
_IMPLICIT: Final[dict[str, list[tuple[str, re.Pattern[str]]]]] = yaml.CSafeLoader.yaml_implicit_resolvers
_SCALAR: Final = str(yaml.CSafeLoader.DEFAULT_SCALAR_TAG)
_SEQUENCE: Final = str(yaml.CSafeLoader.DEFAULT_SEQUENCE_TAG)
_MAPPING: Final = str(yaml.CSafeLoader.DEFAULT_MAPPING_TAG)


class Loader(CParser):
    """PyYAML's C parser, used for its nodes alone.

    `yaml.CSafeLoader` is this parser with a constructor and a resolver. There is one for each document, and nothing
    is constructed; what the parser asks of Python for each node is cut to what is needed: no tag depends on its path.
    """

    # Called before and after each node; what they return is not looked at, and a call of C's own costs least.
    descend_resolver = staticmethod(operator.is_)
    ascend_resolver = staticmethod(tuple)

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """Give a node the tag that PyYAML's resolver would."""
        if kind is ScalarNode:
            if implicit[0]:
                for tag, pattern in _IMPLICIT.get(value[:1], ()):
                    if pattern.match(value):
                        return tag
            return _SCALAR
        return _SEQUENCE if kind is yaml.SequenceNode else _MAPPING
