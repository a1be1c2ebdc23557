"""What a sandbox uses, now and over time."""

import asyncio
import os
import uuid
from datetime import datetime, timedelta, timezone

from daytona import AsyncDaytona, DaytonaConfig

GIBIBYTE = 1 << 30


def assert_is_sample(sample, memory=GIBIBYTE):
    assert sample.cpu_count == 1
    assert 0 <= sample.cpu_used_pct <= 100
    assert sample.mem_total == memory
    assert 0 < sample.mem_used < sample.mem_total
    assert sample.mem_cache >= 0
    assert 0 < sample.disk_used < sample.disk_total
    assert abs(datetime.now(timezone.utc) - sample.timestamp) < timedelta(minutes=2)


def test_metrics_of_now(box):
    assert_is_sample(box.get_metrics_latest())


def test_metrics_over_time_end_with_now(box):
    samples = box.get_metrics()
    assert samples, "a sample of now is always there"
    assert_is_sample(samples[-1])
    # Naive moments and moments with any offset are understood.
    now = datetime.now(timezone.utc)
    assert box.get_metrics(start=now - timedelta(hours=1), end=now)
    assert box.get_metrics(start=datetime(2020, 1, 1), end=datetime(2020, 1, 2)) == []


def test_work_shows(box):
    before = box.get_metrics()[-1]
    box.process.exec("head -c 50000000 /dev/zero > /tmp/ballast; i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done")
    after = box.get_metrics()[-1]
    assert after.disk_used - before.disk_used > 40_000_000
    box.process.exec("rm /tmp/ballast")


def test_metrics_of_the_async_sdk(box):
    async def case():
        settings = DaytonaConfig(api_key=os.environ["DAYTONA_API_KEY"], api_url=os.environ["DAYTONA_API_URL"])
        async with AsyncDaytona(settings) as client:
            sandbox = await client.get(box.id)
            assert_is_sample(await sandbox.get_metrics_latest())
            assert_is_sample((await sandbox.get_metrics())[-1])

    asyncio.run(case())


def test_no_collector_means_empty_pages(box, raw):
    time = {"from": "2026-01-01T00:00:00.000000+0000", "to": "2027-01-01T00:00:00"}
    for kind in ("logs", "traces"):
        answer = raw.api("GET", f"/sandbox/{box.id}/telemetry/{kind}", params=time)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"items": [], "total": 0, "page": 1, "totalPages": 0}
    assert raw.api("GET", f"/sandbox/{box.id}/telemetry/traces/{uuid.uuid4().hex}").json() == []
