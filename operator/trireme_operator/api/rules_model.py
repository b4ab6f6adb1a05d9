"""The rules about the model and the engine: a part of ``api.rules``."""

from __future__ import annotations

from typing import Final

from trireme_operator.api.engine import EngineConfig, Profile
from trireme_operator.api.flags import LONG, OWNED, SHORT
from trireme_operator.api.model import OWNED_VARIABLE_PREFIXES, OWNED_VARIABLES
from trireme_operator.api.profiles import PROFILES
from trireme_operator.api.rule import Rule

_SCHEMES: Final = ("hf://", "pvc://", "s3://", "gs://", "oci://", "/")
_PATH: Final = "[A-Za-z0-9._/=+@-]*"
_DOTS: Final = r"/\\.\\.?(/|$)"
_IMAGE: Final = (
    r"^oci://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[a-f0-9]{64})?(//[A-Za-z0-9._/=+@-]+)?$"
)

_LONG_LIST: Final = "[" + ", ".join(f"'{flag}'" for flag in LONG) + "]"
_FLAG_NAME: Final = "a.split('=')[0].split('.')[0].replace('_', '-')"
_IS_OWNED: Final = (
    f"((a.startsWith('--') && {_LONG_LIST}.exists(f, f.startsWith({_FLAG_NAME}))) || a.matches('{SHORT}'))"
)


def _source(scheme: str, pattern: str, form: str) -> Rule:
    """A source of one scheme has one form; what has no known scheme is refused by a rule of its own."""
    return Rule(
        where="spec.model.source",
        rule=f"!self.startsWith('{scheme}') || self.matches('{pattern}')",
        message=f"a source that begins with {scheme} must be {form}",
        message_expression=f"'' + self + ' is no model: write {form}'",
    )


_SOURCES: Final = (
    Rule(
        where="spec.model.source",
        rule=" || ".join(f"self.startsWith('{scheme}')" for scheme in _SCHEMES),
        message="must begin with hf://, pvc://, s3://, gs:// or oci://, or be an absolute path in the engine image",
        message_expression=(
            "'' + self + ' is no model: write hf://ORGANISATION/NAME, pvc://CLAIM/PATH, s3://BUCKET/PATH,"
            " gs://BUCKET/PATH, oci://IMAGE, or an absolute path in the engine image such as /models/llama'"
        ),
    ),
    _source(
        "hf://",
        r"^hf://[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._/-]*)?$",
        "hf://ORGANISATION/NAME or hf://ORGANISATION/NAME@REVISION",
    ),
    _source(
        "pvc://",
        rf"^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/{_PATH})?$",
        "pvc://CLAIM or pvc://CLAIM/PATH, with the name of a PersistentVolumeClaim and a directory in it",
    ),
    _source(
        "s3://",
        rf"^s3://[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9](/{_PATH})?$",
        "s3://BUCKET/PATH, with a bucket of 3 to 63 lower case letters, digits, dots and hyphens",
    ),
    _source(
        "gs://",
        rf"^gs://[a-z0-9][a-z0-9._-]{{1,220}}[a-z0-9](/{_PATH})?$",
        "gs://BUCKET/PATH, with a bucket of 3 to 222 lower case letters, digits, dots, hyphens and underscores",
    ),
    _source(
        "oci://", _IMAGE, "oci://IMAGE, oci://IMAGE:TAG or oci://IMAGE@sha256:DIGEST, with //PATH for a directory in it"
    ),
    _source("/", "^/[A-Za-z0-9._/-]+$", "an absolute path in the engine image such as /models/llama"),
    Rule(
        where="spec.model.source",
        rule=f"self.startsWith('/') || self.startsWith('hf://') || !self.matches('{_DOTS}')",
        message="must not have . or .. as a part of its path: name the directory itself",
    ),
)

_NAMES: Final = "[" + ", ".join(f"'{name}'" for name in sorted(OWNED_VARIABLES)) + "]"
_PREFIXED: Final = " || ".join(f"self.startsWith('{prefix}')" for prefix in OWNED_VARIABLE_PREFIXES)

_MODEL: Final = (
    *_SOURCES,
    Rule(
        where="spec.model.servedName",
        rule=r"self.matches('^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$')",
        message="must begin with a letter or digit and hold letters, digits and . _ : / @ + - only",
    ),
    Rule(
        where="spec.model",
        rule="!has(self.cache) || !has(self.source) || self.source.startsWith('hf://')",
        message=(
            "cache keeps what an hf:// source downloads, and no other source downloads a model: remove cache, or use an"
            " hf:// source"
        ),
        field=".cache",
    ),
    Rule(
        where="spec.model",
        rule="!has(self.s3) || !has(self.source) || self.source.startsWith('s3://')",
        message=(
            "s3 says how the store of an s3:// source is reached: remove s3, or use an s3:// source (with endpoint"
            " https://storage.googleapis.com for HMAC keys of Google Cloud Storage)"
        ),
        field=".s3",
    ),
    Rule(
        where="spec.model.cache",
        rule="has(self.persistentVolumeClaim) != has(self.emptyDir)",
        message="needs persistentVolumeClaim or emptyDir, and not both: a model is kept in one place",
    ),
    Rule(
        where="spec.model.s3.endpoint",
        rule="self.matches('^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._/-]*)?$')",
        message="must be a URL such as https://minio.storage:9000, without user, query or bucket",
    ),
    Rule(
        where="spec.model.credentials[].name",
        rule=f"!(self in {_NAMES}) && !({_PREFIXED})",
        message=(
            "; ".join(f"{name} is set by {owner}" for name, owner in sorted(OWNED_VARIABLES.items()))
            + "; names that begin with TRIREME_ or LWS_ are the launcher's: choose another variable"
        ),
        message_expression=(
            "self + ' is a variable that Trireme sets: remove it; spec.model.s3 and spec.model.cache have fields for"
            " endpoint, region and cache'"
        ),
    ),
)


def _batch_rule(profile: Profile | None) -> Rule:
    """A step works on at least one token of each of its sequences (vLLM 0.32, config/scheduler.py, refuses else).

    Where ``config`` is silent the profile counts; where both are, vLLM chooses what fits.
    """
    settings = EngineConfig() if profile is None else PROFILES[profile]
    known = {"maxNumSeqs": settings.max_num_seqs, "maxNumBatchedTokens": settings.max_num_batched_tokens}
    sequences, tokens = (
        f"self.config.{name}" if value is None else f"(has(self.config.{name}) ? self.config.{name} : {value})"
        for name, value in known.items()
    )
    elsewhere = "has(self.profile)" if profile is None else f"!has(self.profile) || self.profile != '{profile}'"
    unknown = [f"!has(self.config.{name})" for name, value in known.items() if value is None]
    said = " and ".join(f"{name} {value}" for name, value in known.items() if value is not None)
    return Rule(
        where="spec.engine",
        rule=" || ".join([elsewhere, "!has(self.config)", *unknown, f"{tokens} >= {sequences}"]),
        message=(
            "config.maxNumBatchedTokens must be at least config.maxNumSeqs, as a step works on a token of each sequence"
            + (
                f"; profile {profile} sets {said}: set the other one too"
                if profile
                else ": raise it or lower maxNumSeqs"
            )
        ),
        field=".config",
    )


_ENGINE: Final = (
    *(_batch_rule(profile) for profile in (None, *Profile)),
    Rule(
        where="spec.engine.extraArgs",
        rule="self.size() == 0 || self[0].startsWith('-')",
        message="the first item must be a flag: give a flag's value the item after the flag",
        message_expression="'begins with ' + self[0] + ', which is no flag: give a value the item after its flag'",
    ),
    Rule(
        where="spec.engine.extraArgs",
        rule=f"!self.exists(a, {_IS_OWNED})",
        message="; ".join(f"{', '.join(flags)}: {instead}" for instead, flags in OWNED.items()),
        message_expression=(
            f"self.filter(a, {_IS_OWNED})[0] + ' is set by Trireme or would change what it relies on: remove it;"
            " model, engine.config and parallelism have fields for what may be set'"
        ),
    ),
)

RULES: Final[tuple[Rule, ...]] = (*_MODEL, *_ENGINE)
