"""Checks of the object store's users and their policies."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minio.error import MinioAdminException

from lakehouse.object_store import object_store
from stack.doctor.measurements import Measurements
from stack.doctor.model import Check
from stack.elsewhere import is_elsewhere, prepares
from stack.findings import Said, fine, wrong
from stack.minio.buckets import admin_of, may_enter, policies

_GONE = re.compile("NoSuchUser|NoSuchPolicy")


def _of_lake(measurements: Measurements) -> Sequence[Said]:
    minio = measurements.config.minio
    prepare = prepares("minio", measurements.config)
    # Others' may be no MinIO, or have given keys of users with other names.
    if is_elsewhere("minio", measurements.config):
        return _let_in(measurements, prepare)
    if measurements.config.store == "seaweedfs":
        return _let_in(measurements, prepare, ", with the policies of its file")
    admin = admin_of(minio, measurements.secrets)
    wanted = policies(minio)
    found: dict[str, LakeUser | None] = {}
    for user in wanted:
        try:
            known = json.loads(admin.user_info(user))
            policy = json.loads(admin.policy_info(user))
        except MinioAdminException as error:
            if not _GONE.search(str(error)):
                raise
            found[user] = None
        else:
            found[user] = LakeUser(
                is_enabled=known.get("status") == "enabled",
                policies=(known.get("policyName") or "").split(","),
                policy=policy,
            )
    return diagnose_users(wanted, found, prepare=prepare)


def _let_in(measurements: Measurements, prepare: str, how: str = "") -> Sequence[Said]:
    """Diagnose whether each user gets in, which any store can be asked."""
    minio, secrets = measurements.config.minio, measurements.secrets
    wanted = policies(minio)
    shut_out = [
        user
        for user in wanted
        if not may_enter(object_store(minio, secrets, user=user), minio.bronze_bucket)
    ]
    if shut_out:
        return [wrong(f"{', '.join(shut_out)} cannot get in", prepare)]
    return [fine(f"{len(wanted)} users get in{how}")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeUser:
    """A user of the object store: its policies, and the content of the one with its name."""

    is_enabled: bool
    policies: Sequence[str]
    policy: Mapping[str, Any]


def diagnose_users(
    wanted: Mapping[str, Mapping[str, Any]],
    found: Mapping[str, LakeUser | None],
    *,
    prepare: str = "./pipeline up minio",
) -> Sequence[Said]:
    """Diagnose whether each user has its own policy, with the expected content, and no other."""
    said = []
    for name, policy in wanted.items():
        user = found.get(name)
        if user is None:
            said.append(wrong(f"user {name} or its policy does not exist", prepare))
        elif not user.is_enabled:
            said.append(wrong(f"{name} is disabled", f"./pipeline open minio: enable {name}"))
        elif list(user.policies) != [name]:
            words = f"{name} has the policies {', '.join(filter(None, user.policies)) or 'none'}"
            said.append(wrong(f"{words}, not its own", f"./pipeline open minio: give it {name}"))
        elif allowed(user.policy) != allowed(policy):
            said.append(wrong(f"the policy of {name} differs from what it needs", prepare))
    return said or [fine(f"{len(wanted)} users have exactly the policies that they need")]


def allowed(policy: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return all pairs of action and resource that a policy allows."""
    return {
        (action, resource)
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


CHECKS: Sequence[Check] = [Check(area="roles", title="of the lake", needs=("minio",), run=_of_lake)]
