"""Builds of the worker: which executions a build serves is Temporal's worker versioning; here it is set up and asked.

An execution stays on the build that it began on. Which build new executions begin on is said by hand, per deployment.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from temporalio.api.enums.v1 import WorkerDeploymentVersionStatus
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import WorkerDeploymentConfig

from app.errors import Category, PerdureError, Severity

_STATUS = "WORKER_DEPLOYMENT_VERSION_STATUS_"
SETTLING_SECONDS = 30.0
"""Temporal hears of the queues of a worker one after the other. So long a build that misses some is asked for again."""
_PAUSE_SECONDS = 0.5


class BuildRefused(PerdureError):
    """Temporal does not make this build the current one."""

    code = "BUILD_REFUSED"
    severity = Severity.HIGH
    category = Category.VALIDATION


@dataclass(frozen=True, slots=True)
class Build:
    """A build that workers have served."""

    build_id: str
    status: str
    """`current`, `inactive` (was never current), `draining` (executions are left on it), `drained`, or `ramping`."""


def deployment_of(task_queue: str) -> str:
    """Return the name of the deployment that all workers of a task queue and of its pools belong to."""
    # Temporal writes a version as `<deployment>.<build>`, and takes neither of these in the first part.
    return task_queue.replace(".", "-").replace(":", "-")


def make_deployment(task_queue: str, build_id: str) -> WorkerDeploymentConfig:
    """Return what makes a worker one of a build: executions that begin on it stay on it."""
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(deployment_of(task_queue), build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )


async def make_current(client: Client, task_queue: str, build_id: str) -> None:
    """Have new executions begin on a build, and executions that move on, move to it.

    Args:
        client: Connected to Temporal.
        task_queue: The common queue.
        build_id: Of workers that are running; empty for workers without a build.

    Raises:
        BuildRefused: No worker of that build has come yet, or none for a queue that the current build serves.
    """
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace,
        deployment_name=deployment_of(task_queue),
        build_id=build_id,
        identity=client.identity,
    )
    deadline = time.monotonic() + SETTLING_SECONDS
    while True:
        try:
            await client.workflow_service.set_worker_deployment_current_version(request)
        except RPCError as error:
            is_settling = error.status is RPCStatusCode.FAILED_PRECONDITION
            if not is_settling and error.status is not RPCStatusCode.NOT_FOUND:
                raise
            if not is_settling or time.monotonic() > deadline:
                raise BuildRefused(f"{build_id} cannot be made current: {error.message}") from error
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return


async def list_builds(client: Client, task_queue: str) -> list[Build]:
    """Return the builds that Temporal knows, newest first.

    Raises:
        RPCError: Temporal does not answer.
    """
    request = DescribeWorkerDeploymentRequest(
        namespace=client.namespace, deployment_name=deployment_of(task_queue)
    )
    try:
        response = await client.workflow_service.describe_worker_deployment(request)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return []
        raise
    return [_build(summary) for summary in response.worker_deployment_info.version_summaries]


def _build(summary: Any) -> Build:
    status = WorkerDeploymentVersionStatus.Name(summary.status).removeprefix(_STATUS).lower()
    return Build(summary.deployment_version.build_id, status)
