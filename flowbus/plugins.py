"""Find plugins and index what they contribute. Nothing is imported before it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any, Generic, TypeVar

import msgspec
import pluggy

from flowbus import hookspecs
from flowbus.config import shape_of
from flowbus.connections import ConnectionType
from flowbus.faults import CORE_FAULTS, FaultRegistry
from flowbus.jwt.faults import FAULTS as JWT_FAULTS
from flowbus.node import NodeType

GROUP = "flowbus"
T = TypeVar("T")


class Failed(msgspec.Struct, frozen=True):
    """A plugin, or one thing in it, that cannot be loaded, and what would mend that."""

    plugin: str
    reason: str
    install: str = ""


class Entries(Mapping[str, T], Generic[T]):
    """Contributed objects by name; a string ``"module:attribute"`` is imported at the first look-up.

    What cannot be imported moves to ``failed`` and counts as absent from then on.
    """

    def __init__(self, kind: type[T] | None, failed: dict[str, Failed]) -> None:
        self._kind = kind
        self._failed = failed
        self._targets: dict[str, tuple[str, Any]] = {}
        self._loaded: dict[str, T] = {}

    def add(self, name: str, plugin: str, target: object) -> None:
        """Take in a contribution; a name that is taken costs both plugins nothing but the name."""
        if name in self._targets:
            other = self._targets[name][0]
            self._failed[f"{name} ({plugin})"] = Failed(plugin, f"{name!r} is taken by plugin {other}")
            return
        self._targets[name] = (plugin, target)

    def plugin_of(self, name: str) -> str:
        """Return the name of the plugin that contributes ``name``."""
        return self._targets[name][0]

    def __getitem__(self, name: str) -> T:
        if name in self._loaded:
            return self._loaded[name]
        plugin, target = self._targets[name]
        try:
            found = _load(target) if isinstance(target, str) else target
            if self._kind is not None and not isinstance(found, self._kind):
                raise TypeError(f"{target} is a {type(found).__name__}, not a {self._kind.__name__}")
            if isinstance(found, NodeType | ConnectionType):
                shape_of(found.config_type)  # an annotation that cannot be used is found here
                found.plugin = plugin
        except Exception as error:
            self._failed[name] = Failed(plugin, _reason(error), _remedy(error))
            del self._targets[name]
            raise KeyError(name) from error
        self._loaded[name] = found
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._targets))

    def __len__(self) -> int:
        return len(self._targets)

    def __contains__(self, name: object) -> bool:
        return name in self._targets


class Registry:
    """What all plugins contribute, and what of it failed to load."""

    def __init__(self) -> None:
        self.failed: dict[str, Failed] = {}
        self.broken_plugins: dict[str, Failed] = {}
        self.nodes: Entries[NodeType] = Entries(NodeType, self.failed)
        self.connections: Entries[ConnectionType] = Entries(ConnectionType, self.failed)
        self.commands: Entries[Any] = Entries(None, self.failed)
        self._fault_tables: Entries[Any] = Entries(None, self.failed)

    def add(self, plugin: str, contribution: Mapping[str, Mapping[str, Any]]) -> None:
        """Take in what a plugin's ``flowbus_register`` returned."""
        parts: dict[str, Entries[Any]] = {
            "nodes": self.nodes,
            "connections": self.connections,
            "faults": self._fault_tables,
            "commands": self.commands,
        }
        for part, entries in contribution.items():
            if part not in parts:
                known = ", ".join(hookspecs.PARTS)
                raise ValueError(f"flowbus_register returned {part!r}; it may return {known}")
            for name, target in entries.items():
                parts[part].add(name, plugin, target)

    def faults(self) -> FaultRegistry:
        """Return the fault registry with the entries of all plugins; a bad table costs only itself."""
        registry = FaultRegistry((*CORE_FAULTS, *JWT_FAULTS))
        for table in self._fault_tables:
            try:
                registry.add(self._fault_tables[table])
            except Exception as error:  # noqa: BLE001  a stranger's code
                plugin = self._fault_tables.plugin_of(table) if table in self._fault_tables else table
                self.failed.setdefault(f"faults of {table}", Failed(plugin, _reason(error)))
        return registry


def installed() -> Registry:
    """Return the registry of every plugin that is installed beside flowbus."""
    registry = Registry()
    manager = pluggy.PluginManager("flowbus")
    manager.add_hookspecs(hookspecs)
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name):
        distribution = point.dist.name if point.dist is not None else point.name
        try:
            manager.register(point.load(), name=point.name)
            hook = manager.subset_hook_caller(
                "flowbus_register",
                [p for p in manager.get_plugins() if manager.get_name(p) != point.name],
            )
            for contribution in hook():
                registry.add(distribution, contribution)
        except Exception as error:  # noqa: BLE001  one broken plugin must not take the others down
            registry.broken_plugins[distribution] = Failed(distribution, _reason(error), _remedy(error))
    return registry


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _remedy(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"pip install {error.name.partition('.')[0]}"
    return ""
