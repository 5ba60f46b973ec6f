"""YAML whose mappings have each key once: of two the parser would drop the first without a word."""

from typing import Any

import yaml


class UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that is there twice, with both lines."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        """Compose a mapping; raise yaml.YAMLError when a key is there twice."""
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                first = lines.setdefault(key.value, key.start_mark.line + 1)
                if first != key.start_mark.line + 1:
                    problem = f"the key {key.value} is there already at line {first}; keep one of them"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        return node
