"""Buckets, users with minimal privileges, and lifecycle rules of the object store."""

from collections.abc import Sequence

from minio import Minio, MinioAdmin
from minio.commonconfig import ENABLED, Filter
from minio.credentials.providers import StaticProvider
from minio.error import S3Error
from minio.lifecycleconfig import (
    AbortIncompleteMultipartUpload,
    LifecycleConfig,
    NoncurrentVersionExpiration,
    Rule,
)

from lakehouse.object_store import object_store
from lakehouse.secrets import Secrets
from lakehouse.settings import MinioSettings
from lakehouse.variables import address

_READ_BUCKET = ("s3:GetBucketLocation", "s3:ListBucket")
_READ_OBJECT = ("s3:GetObject",)
_WRITE_BUCKET = (*_READ_BUCKET, "s3:ListBucketMultipartUploads")
_WRITE_OBJECT = (
    *_READ_OBJECT,
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)


def prepare_buckets(settings: MinioSettings, secrets: Secrets, *, with_users: bool = True) -> None:
    """Create buckets, rules and, unless the server has them from a file, users. Idempotent."""
    bronze = settings.bronze_bucket
    store = object_store(settings, secrets, user="admin")
    for bucket in (bronze, settings.silver_bucket, settings.gold_bucket):
        if not store.bucket_exists(bucket):
            store.make_bucket(bucket)
        store.set_bucket_lifecycle(bucket, _lifecycle())
    if not with_users:
        return
    admin = admin_of(settings, secrets)
    for user, allowed in policies(settings).items():
        admin.policy_add(user, policy=allowed)
        if not may_enter(object_store(settings, secrets, user=user), bronze):
            admin.user_add(user, secrets[f"minio_{user}"])
            admin.policy_set(user, user=user)


def admin_of(settings: MinioSettings, secrets: Secrets) -> MinioAdmin:
    """Return a client of MinIO's admin interface."""
    return MinioAdmin(
        endpoint=address(settings.host, settings.port),
        credentials=StaticProvider("admin", secrets["minio_admin"]),
        region=settings.region,
        secure=settings.scheme == "https",
    )


def policies(settings: MinioSettings) -> dict[str, dict[str, object]]:
    """Return the policy of each user; both have the same name."""
    bronze = settings.bronze_bucket
    refined = [settings.silver_bucket, settings.gold_bucket]
    return {
        "lander": policy(_writing([bronze])),
        "batch": policy(_reading([bronze]), _writing(refined)),
        "reader": policy(_reading([bronze, *refined])),
    }


def policy(*grants: Sequence[dict[str, object]]) -> dict[str, object]:
    """Return an S3 policy that allows these actions only."""
    return {"Version": "2012-10-17", "Statement": [one for grant in grants for one in grant]}


def _reading(buckets: Sequence[str]) -> list[dict[str, object]]:
    return _allow(buckets, _READ_BUCKET, _READ_OBJECT)


def _writing(buckets: Sequence[str]) -> list[dict[str, object]]:
    return _allow(buckets, _WRITE_BUCKET, _WRITE_OBJECT)


def _allow(
    buckets: Sequence[str], bucket_actions: Sequence[str], object_actions: Sequence[str]
) -> list[dict[str, object]]:
    return [
        {
            "Effect": "Allow",
            "Action": list(bucket_actions),
            "Resource": [f"arn:aws:s3:::{bucket}" for bucket in buckets],
        },
        {
            "Effect": "Allow",
            "Action": list(object_actions),
            "Resource": [f"arn:aws:s3:::{bucket}/*" for bucket in buckets],
        },
    ]


def may_enter(client: Minio, bucket: str) -> bool:
    """Return whether the user exists with this password and policy, cheaper than creating it."""
    try:
        return client.bucket_exists(bucket)
    except S3Error:
        return False


def _lifecycle() -> LifecycleConfig:
    """Return rules that delete incomplete uploads, and old versions if versioning is enabled."""
    return LifecycleConfig(
        [
            Rule(
                ENABLED,
                rule_filter=Filter(prefix=""),
                rule_id="housekeeping",
                abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(
                    days_after_initiation=1
                ),
                noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=1),
            )
        ]
    )
