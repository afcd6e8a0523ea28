"""What a check finds: the problems of a flow, and the plan of everything that can be built."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from flowbus.config import Config
from flowbus.connections import ConnectionType
from flowbus.flowfile import ConnectionSpec, FlowFile, NodeSpec
from flowbus.node import NodeType
from flowbus.problem import FlowFileError, Problem


class NodePlan(msgspec.Struct, frozen=True):
    """A node that can be built: its type, its config as of the check, its outlets."""

    spec: NodeSpec
    type: NodeType
    config: Config
    outlets: tuple[str, ...]


class ConnectionPlan(msgspec.Struct, frozen=True):
    """A connection that can be built: its type and its config as of the check."""

    spec: ConnectionSpec
    type: ConnectionType
    config: Config


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A flow, what is wrong with it in the order of the file, and the plan of what is right."""

    flow: FlowFile
    problems: tuple[Problem, ...]
    nodes: Mapping[str, NodePlan]
    connections: Mapping[str, ConnectionPlan]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the flow from running."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that do not."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether the flow can run."""
        return not self.errors

    def require(self) -> Checked:
        """Return this; raises FlowFileError where the flow cannot run."""
        if not self.ok:
            raise FlowFileError(self.errors)
        return self
