"""What is asked of the service: one file for each workload.

Each is written as the story of one user and runs unchanged against the service and against the
bare route that gives the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench.workloads.base import Workload
from bench.workloads.charge_many import ChargeMany
from bench.workloads.charge_one import ChargeOne
from bench.workloads.flow import Flow
from bench.workloads.issue import Issue
from bench.workloads.issue_status import IssueStatus
from bench.workloads.mix import Mix
from bench.workloads.race import Race
from bench.workloads.status import Status, StatusCrowd

WORKLOADS: Mapping[str, type[Workload]] = {
    workload.name: workload
    for workload in (
        Status,
        StatusCrowd,
        Issue,
        IssueStatus,
        ChargeMany,
        ChargeOne,
        Flow,
        Race,
        Mix,
    )
}
