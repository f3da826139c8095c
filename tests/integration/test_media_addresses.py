"""Where a fetch may lead, on a public internet of our own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

NAMESPACE = ["unshare", "--map-root-user", "--net"]
PUBLIC = "http://8.8.8.8"
SOUND = [
    f"{PUBLIC}/",
    "http://public.example/",
    "http://134744072/",
    f"{PUBLIC}/to?/file",
    f"{PUBLIC}/to?http://public.example/file",
    "http://both.example/",
    "http://rebinding.example/",
]
FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/",
    "http://127.1/",
    "http://[::1]/",
    "http://inside.example/",
    "http://9.9.9.9/",
    f"{PUBLIC}/to?http://169.254.169.254/latest/meta-data/",
    f"{PUBLIC}/to?http://2852039166/",
    f"{PUBLIC}/to?http://0xa9.0376.0xa9fe/",
    f"{PUBLIC}/to?//10.0.0.1/",
    f"{PUBLIC}/to?http://0/",
    f"{PUBLIC}/to?http://127.0.0.1/",
    f"{PUBLIC}/to?http://[::1]/",
    f"{PUBLIC}/to?http://[::ffff:10.0.0.1]/",
    f"{PUBLIC}/to?http://[::ffff:a9fe:a9fe]/",
    f"{PUBLIC}/to?http://[fd00:ec2::254]/",
    f"{PUBLIC}/to?http://inside.example/",
    f"{PUBLIC}/to?http://9.9.9.9/",
    f"{PUBLIC}/to?{PUBLIC}/to?{PUBLIC}/to?http://10.0.0.1/",
    "http://rebinding.example/to?/file",
]


@pytest.mark.skipif(
    not shutil.which("ip")
    or not shutil.which("unshare")
    or subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode,
    reason="no network namespace can be made",
)
def test_no_url_and_no_redirect_leads_inside() -> None:
    # In this order: each second look-up of the rebinding name leads inside.
    command = [*NAMESPACE, sys.executable, "-m", "tests.integration.public_internet", *FORBIDDEN, *SOUND]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=50).stdout)
    assert said == {
        "became": dict.fromkeys(SOUND, "sound") | dict.fromkeys(FORBIDDEN, "forbidden_address"),
        "connections": 0,
    }
