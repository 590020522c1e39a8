"""Users of the object store: each with the policy that is its own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minio.error import MinioException

from stack.doctor.measurements import Measurements
from stack.doctor.model import Check, Said, fine, wrong
from stack.minio.buckets import admin_of, policies


def checks() -> Sequence[Check]:
    """Of this area."""
    return [Check(area="roles", title="of the lake", needs=("minio",), run=_of_lake)]


def _of_lake(measurements: Measurements) -> Sequence[Said]:
    minio = measurements.config.minio
    admin = admin_of(minio, measurements.secrets)
    wanted = policies(minio)
    found: dict[str, LakeUser | None] = {}
    for user in wanted:
        try:
            known = json.loads(admin.user_info(user))
            policy = json.loads(admin.policy_info(user))
        except MinioException:
            found[user] = None
        else:
            found[user] = LakeUser(
                is_enabled=known.get("status") == "enabled",
                policies=(known.get("policyName") or "").split(","),
                policy=policy,
            )
    return diagnose_users(wanted, found)


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeUser:
    """A user of the object store: the policies that it has, and what the one of its name says."""

    is_enabled: bool
    policies: Sequence[str]
    policy: Mapping[str, Any]


def diagnose_users(
    wanted: Mapping[str, Mapping[str, Any]], found: Mapping[str, LakeUser | None]
) -> Sequence[Said]:
    """Whether each user has its policy, as it is to be, and no other."""
    up = "./pipeline up minio"
    said = []
    for name, policy in wanted.items():
        user = found.get(name)
        if user is None:
            said.append(wrong(f"there is no user {name}, or no policy for it", up))
        elif not user.is_enabled:
            said.append(wrong(f"{name} is disabled", f"./pipeline open minio: enable {name}"))
        elif list(user.policies) != [name]:
            words = f"{name} has the policies {', '.join(filter(None, user.policies)) or 'none'}"
            said.append(wrong(f"{words}, not its own", f"./pipeline open minio: give it {name}"))
        elif allowed(user.policy) != allowed(policy):
            said.append(wrong(f"{name} may do other than its work needs", up))
    return said or [fine(f"{len(wanted)}, each with what it needs and no more")]


def allowed(policy: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Action and resource of all that a policy allows."""
    return {
        (action, resource)
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
        for resource in statement["Resource"]
    }
