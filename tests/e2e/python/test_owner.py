"""Whose a sandbox is, and what its owner may use: as the generated client of the official SDK reads it."""

import os

import daytona_api_client
import pytest
from daytona_api_client.exceptions import NotFoundException


@pytest.fixture(scope="module")
def sandboxes():
    configuration = daytona_api_client.Configuration(
        host=os.environ["DAYTONA_API_URL"], access_token=os.environ["DAYTONA_API_KEY"]
    )
    with daytona_api_client.ApiClient(configuration) as client:
        yield daytona_api_client.SandboxApi(client)


def test_the_organisation_of_a_sandbox(sandboxes, box):
    owner = sandboxes.get_organization_by_sandbox_id(box.id)
    assert (owner.id, owner.suspended) == (box.organization_id, False)
    assert owner.max_cpu_per_sandbox >= 1 and owner.default_region_id == box.target


def test_the_quota_of_its_region(sandboxes, box):
    quota = sandboxes.get_region_quota_by_sandbox_id(box.id)
    assert (quota.organization_id, quota.region_id, quota.sandbox_class) == (box.organization_id, box.target, "container")
    assert quota.total_cpu_quota >= quota.max_cpu_per_sandbox >= box.cpu
    assert quota.total_memory_quota >= quota.max_memory_per_sandbox >= box.memory
    assert quota.total_disk_quota >= quota.max_disk_per_sandbox >= box.disk
    assert quota.total_gpu_quota == 0


def test_what_is_not_there(sandboxes):
    for ask in (sandboxes.get_organization_by_sandbox_id, sandboxes.get_region_quota_by_sandbox_id):
        with pytest.raises(NotFoundException):
            ask("none")
